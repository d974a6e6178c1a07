"""Health checks of sandbox hosts and misbehaving hosts."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from imagegen.comfy.capabilities import ModelFile, Requirements
from imagegen.comfy.errors import HostLacks, HostLost, NobodyCanDraw
from imagegen.pool.health import Condition
from imagegen.pool.pool import Pool
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import MODELS, persona_graph
from tests.support.misbehaving_comfyui import answer_html, answer_json, misbehaving, never_answers
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import Clock, ZeroJitter, jobs_of
from tests.support.prompt_execution import MS, client, draw

UNA = Requirements(
    model_set="una",
    models=frozenset(
        {ModelFile(class_type="LoraLoaderModelOnly", input="lora_name", name="una_zit.safetensors")}
    ),
)
WITHOUT_LORAS = {**MODELS, "loras": []}


async def test_capabilities_are_known_when_the_work_begins() -> None:
    async with SandboxComfyUI(models=MODELS) as sandbox, client(sandbox.address) as host:
        pool = Pool([host])

        async with pool.running():
            assert pool.missing(UNA) == {host.name: ()}


async def test_a_host_that_comes_back_with_a_new_model_draws_with_it() -> None:
    poor = SandboxComfyUI(models=WITHOUT_LORAS)
    async with poor, client(poor.address) as host:
        pool = Pool([host])
        async with pool.running():
            with pytest.raises(NobodyCanDraw):
                await _draw(pool, 1)
            await poor.kill()
            with pytest.raises(HostLost):
                await _probe(pool, host.name)

            port = int(poor.address.rpartition(":")[2])
            async with SandboxComfyUI(models=MODELS, port=port) as rich:
                await _until(lambda: pool.missing(UNA) == {host.name: ()})
                await _draw(pool, 2)

    assert len(rich.drawn) == 1


async def test_a_refusal_leads_to_a_look_at_the_capabilities() -> None:
    # The host was restarted without a file, between two health checks.
    models = {**MODELS, "loras": list(MODELS["loras"])}
    sandbox = SandboxComfyUI(models=models)
    async with sandbox, client(sandbox.address) as host:
        pool = Pool([host])
        async with pool.running():
            await sandbox.kill()
            models["loras"].clear()
            await sandbox.start()

            with pytest.raises(HostLacks, match="una_zit"):
                await _draw(pool, 1)

            await _until(lambda: "has no lora_name" in pool.missing(UNA)[host.name][0].sentence)


async def test_a_host_that_hides_its_capabilities_is_used_all_the_same() -> None:
    answers = {"GET /object_info": answer_html("forbidden", 403)}
    async with misbehaving(answers=answers) as hidden, client(hidden.address) as host:
        pool = Pool([host])
        async with pool.running(), pool.lease(UNA) as lease:
            assert lease.host is host
            assert pool.missing(UNA) == {}


async def test_an_answer_without_capabilities_is_not_taken_for_a_host_without_any() -> None:
    answers = {"GET /object_info": answer_json({"message": "log in first"})}
    async with misbehaving(answers=answers) as strange, client(strange.address) as host:
        pool = Pool([host])
        async with pool.running(), pool.lease(UNA) as lease:
            assert lease.host is host


async def test_a_frozen_host_is_noticed_although_it_takes_connections() -> None:
    async with (
        misbehaving(answers={"GET /prompt": never_answers}) as frozen,
        client(frozen.address) as host,
    ):
        pool = Pool([host])
        async with pool.running():
            await _until(lambda: pool.status()[0].condition is Condition.SUSPECT)

            assert pool.status()[0].why == f"{host.name} does not answer within 5 s"


async def test_an_idle_host_that_died_is_found_out_before_a_request_is() -> None:
    clock = Clock()
    async with SandboxComfyUI(models=MODELS) as sandbox, client(sandbox.address) as host:
        pool = Pool([host], clock=clock, chance=ZeroJitter())
        checker = pool._health_checker(pool._hosts[host.name])
        await checker.step()
        await sandbox.kill()

        clock.now = 19
        await checker.step()
        assert pool.status()[0].condition is Condition.UP
        clock.now = 20
        await checker.step()

        assert pool.status()[0].condition is Condition.SUSPECT


async def test_an_idle_host_that_missed_probes_only_is_up_once_it_answers() -> None:
    clock = Clock()
    async with SandboxComfyUI(models=MODELS) as sandbox, client(sandbox.address) as host:
        pool = Pool([host], clock=clock, chance=ZeroJitter())
        checker = pool._health_checker(pool._hosts[host.name])
        await sandbox.kill()
        await checker.step()
        await sandbox.start()

        clock.now = checker.next_at()
        await checker.step()

        assert clock.now == 1
        assert pool.status()[0].condition is Condition.UP


async def test_a_waiter_is_served_in_the_moment_in_which_a_host_answers() -> None:
    clock = Clock()
    async with SandboxComfyUI(models=MODELS) as sandbox, client(sandbox.address) as host:
        pool = Pool([host], clock=clock, chance=ZeroJitter())
        checker = pool._health_checker(pool._hosts[host.name])
        await sandbox.kill()
        await checker.step()
        [job] = await jobs_of(pool, 1)
        await sandbox.start()
        assert job.host is None

        clock.now = checker.next_at()
        await checker.step()
        async with asyncio.timeout(PATIENCE_S):
            await job.lent.wait()

        await job.end()


async def test_the_capabilities_of_a_host_that_is_up_are_read_again_every_few_minutes() -> None:
    clock = Clock()
    async with misbehaving() as counting, client(counting.address) as host:
        pool = Pool([host], clock=clock, chance=ZeroJitter())
        checker = pool._health_checker(pool._hosts[host.name])
        for _ in range(40):
            await checker.step()
            clock.now += 10

    # This host never gives its capabilities, so it is asked again after a shorter time.
    assert counting.routes.count("GET /object_info") == 20
    assert counting.routes.count("GET /prompt") == 20


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 (only the status of the pool shows it)
            await asyncio.sleep(10 * MS)


async def _probe(pool: Pool, name: str) -> None:
    """Notice that a host is away, as a job does that resumes its prompt there."""
    async with pool.lease(UNA, left_on=name) as lease:
        await lease.host.probe()


async def _draw(pool: Pool, number: int) -> None:
    async with pool.lease(UNA) as lease:
        graph = persona_graph(seed=number, lora="una_zit.safetensors")
        await draw(lease.host, graph, str(UUID(int=number)))
