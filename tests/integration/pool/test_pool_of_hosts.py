"""The pool with real clients and sandbox hosts."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from imagegen.comfy.capabilities import ModelFile, Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost, NobodyCanDraw
from imagegen.db.tables import HostUse
from imagegen.pool.pool import Pool
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import MODELS, connect_client, persona_graph
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import run_ready_tasks
from tests.support.prompt_execution import MS, client, draw

LONG_S = 60.0
ANY = Requirements(model_set="ash")
LORA = Requirements(
    model_set="ash",
    models=frozenset(
        {
            ModelFile(
                class_type="LoraLoaderModelOnly",
                input="lora_name",
                name="ash_zit_v2.safetensors",
            )
        }
    ),
)


async def test_two_hosts_draw_in_parallel_and_share_the_work() -> None:
    one = SandboxComfyUI(models=MODELS, seconds_per_picture=100 * MS)
    two = SandboxComfyUI(models=MODELS, seconds_per_picture=100 * MS)
    async with one, two, client(one.address) as first, client(two.address) as second:
        pool = Pool([first, second])

        await asyncio.gather(*(_draw(pool, number) for number in range(8)))

    assert (len(one.drawn), len(two.drawn)) == (4, 4)
    assert min(one.drawn[-1].when, two.drawn[-1].when) > max(one.drawn[0].when, two.drawn[0].when)
    assert (pool.taken, pool.waiting) == (0, 0)


async def test_a_host_has_one_prompt_drawing_and_one_waiting() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        pool = Pool([host])
        jobs = [asyncio.create_task(_draw(pool, number), name="job") for number in range(4)]

        while (await other_client.wait_for_event("status"))["status"]["exec_info"][
            "queue_remaining"
        ] < 2:
            pass

        assert (pool.taken, pool.waiting) == (2, 2)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
    assert len(sandbox.posted) == 2


async def test_a_host_that_was_given_up_is_not_asked_for_what_was_left_there() -> None:
    async with SandboxComfyUI(models=MODELS) as sandbox, client(sandbox.address) as host:
        pool = Pool([host])
        assert await pool.ask(host.name, within_s=PATIENCE_S)

        pool.set_use(host.name, HostUse.REMOVED, gives_up=True)

        assert not await pool.ask(host.name, within_s=PATIENCE_S)


async def test_when_a_host_dies_the_other_draws_the_rest() -> None:
    dead = SandboxComfyUI(models=MODELS)
    alive = SandboxComfyUI(models=MODELS)
    async with dead, alive, client(dead.address) as first, client(alive.address) as second:
        await dead.kill()
        pool = Pool([first, second])

        ends = await asyncio.gather(
            *(_draw(pool, number) for number in range(6)), return_exceptions=True
        )

    outcomes = Counter("lost" if isinstance(end, HostLost) else end for end in ends)
    assert outcomes == {None: 4, "lost": 2}
    assert len(alive.drawn) == 4


async def test_a_host_that_came_back_is_used_again_within_seconds() -> None:
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        await sandbox.kill()
        pool = Pool([host])
        with pytest.raises(HostLost):
            await _draw(pool, 1)
        async with pool.running():
            waiting = asyncio.gather(_draw(pool, 2), _draw(pool, 3))
            await sandbox.start()

            async with asyncio.timeout(8):
                await waiting

    assert len(sandbox.drawn) == 2


async def test_a_host_that_is_back_gets_a_new_prompt_only_after_it_was_cleared() -> None:
    is_called, may_end = asyncio.Event(), asyncio.Event()

    async def clear(_: HostClient) -> None:
        is_called.set()
        await may_end.wait()

    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        await sandbox.kill()
        pool = Pool([host], on_return=clear)
        with pytest.raises(HostLost):
            await _draw(pool, 1)
        async with pool.running():
            new = asyncio.create_task(_draw(pool, 2), name="a new prompt")
            await sandbox.start()
            await is_called.wait()
            async with pool.lease(ANY, left_on=host.name) as lease:
                assert lease.is_resumption
            await run_ready_tasks()

            assert sandbox.posted == []
            may_end.set()
            await new

    assert len(sandbox.drawn) == 1


async def test_a_host_that_lacks_a_lora_is_passed_over() -> None:
    poor = SandboxComfyUI(models={**MODELS, "loras": []})
    rich = SandboxComfyUI(models=MODELS)
    async with poor, rich, client(poor.address) as first, client(rich.address) as second:
        pool = Pool([first, second])
        async with pool.running():
            await _known(pool)

            await asyncio.gather(*(_draw(pool, number, LORA) for number in range(4)))

    assert (len(poor.posted), len(rich.drawn)) == (0, 4)


async def test_what_no_host_can_draw_ends_at_once_and_names_the_file() -> None:
    sandbox = SandboxComfyUI(models={**MODELS, "loras": []})
    async with sandbox, client(sandbox.address) as host:
        pool = Pool([host])
        async with pool.running():
            await _known(pool)

            with pytest.raises(NobodyCanDraw, match=r"ash_zit_v2\.safetensors") as caught:
                await _draw(pool, 1, LORA)

    assert caught.value.code == "model_missing"


async def test_a_file_that_was_put_back_is_found_by_the_request_that_needs_it() -> None:
    models = {**MODELS, "loras": list[str]()}
    sandbox = SandboxComfyUI(models=models)
    async with sandbox, client(sandbox.address) as host:
        pool = Pool([host])
        async with pool.running():
            await _known(pool)
            await sandbox.kill()
            models["loras"] = list(MODELS["loras"])
            await sandbox.start()

            await _draw(pool, 1, LORA)

    assert len(sandbox.drawn) == 1


async def test_a_host_that_is_down_may_have_what_the_others_lack() -> None:
    poor = SandboxComfyUI(models={**MODELS, "loras": []})
    rich = SandboxComfyUI(models=MODELS)
    async with poor, rich, client(poor.address) as first, client(rich.address) as second:
        await rich.kill()
        pool = Pool([first, second])
        async with pool.running():
            await _known(pool, hosts=1)
            waiting = asyncio.create_task(_draw(pool, 1, LORA), name="waits for the rich host")

            await rich.start()
            async with asyncio.timeout(8):
                await waiting

    assert len(rich.drawn) == 1


async def _known(pool: Pool, *, hosts: int | None = None) -> None:
    """Wait until the capabilities of so many hosts are known; None: of all."""
    wanted = len(pool.status()) if hosts is None else hosts
    async with asyncio.timeout(PATIENCE_S):
        while sum(each.has_capabilities for each in pool.status()) < wanted:  # noqa: ASYNC110
            await asyncio.sleep(10 * MS)  # only the status shows it


async def _draw(pool: Pool, number: int, requirements: Requirements = ANY) -> None:
    async with pool.lease(requirements) as lease:
        await draw(lease.host, persona_graph(seed=number), str(UUID(int=number)))
