"""Models that are loaded ahead: on idle hosts, once, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from chatflow_hook.tables import State
from imagegen import resources
from imagegen.comfy.timeouts import PromptTimeouts
from imagegen.metrics import Metrics
from imagegen.pipeline.keep_warm import KeepWarm
from imagegen.pool.pool import Pool
from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.queue import shutdown
from imagegen.queue.warm_claims import WarmClaims
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.workflows.library import load_workflows
from imagegen.workflows.reload import ReloadableLibrary
from imagegen.workflows.warm_graph import WARM_PROMPT
from tests.support.comfyui_client import connect_client, persona_graph
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import Clock, SlotCaller
from tests.support.product import ProductFactory, required_models
from tests.support.prompt_execution import LIMITS, MS, client
from tests.support.slot_taker import redis_at

STALL = Fault(kind=FaultKind.STALL, seconds=PATIENCE_S)
BAD_GPU = Fault(kind=FaultKind.BAD_GPU, times=None)
LOADING_S = 0.5


def kept_warm(folder: Path, *names: str) -> Path:
    """Write folders of personas that are the shipped ones, and are kept warm."""
    for name in names:
        shipped = resources.path("workflows") / name / "persona.toml"
        (folder / name).mkdir()
        (folder / name / "persona.toml").write_text(f"keep_warm = true\n{shipped.read_text()}")
    return folder


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_at(redis_url) as redis:
        yield redis


@pytest.fixture
async def host() -> AsyncIterator[SandboxComfyUI]:
    async with SandboxComfyUI(models=required_models()) as host:
        yield host


class Worker:
    """What one worker has for loading models ahead; `step` looks once, and waits for its end."""

    def __init__(
        self, pool: Pool, library: ReloadableLibrary, claims: WarmClaims, *, idle_s: float
    ) -> None:
        self.pool, self.clock = pool, Clock()
        # The prompts that may still be on a host, and their hosts.
        self.strays: list[tuple[str, str]] = []
        self._metrics = Metrics()
        self.keep_warm = KeepWarm(
            pool,
            library,
            claims,
            self._metrics,
            add_stray=self._add_stray,
            idle_s=idle_s,
            clock=self.clock,
        )

    async def _add_stray(self, prompt_id: UUID, host: str) -> None:
        self.strays.append((str(prompt_id), host))

    def count(self, host: SandboxComfyUI, end: str) -> float | None:
        """Return how often loading on a host has ended so, by its metric."""
        labels = {"host": host.address, "end": end}
        name = "imagegen_host_warmings_total"
        return self._metrics.registry.get_sample_value(name, labels)

    async def step(self) -> None:
        await self.keep_warm.step()
        await self.settled()

    async def settled(self) -> None:
        loading = [task for _, task in self.keep_warm._loading.values()]
        await asyncio.gather(*loading)


@asynccontextmanager
async def worker_of(
    redis: Redis,
    personas_dir: Path,
    *hosts: SandboxComfyUI,
    is_shared: bool = False,
    idle_s: float = 0.0,
    limits: PromptTimeouts = LIMITS,
) -> AsyncIterator[Worker]:
    async with AsyncExitStack() as stack:
        slots = RedisSlotRegistry(redis) if is_shared else None
        if slots is not None:
            await stack.enter_async_context(slots.renewed())
        clients = [await stack.enter_async_context(client(host.address, limits)) for host in hosts]
        pool = Pool(clients, slots_per_host=1, shared=slots)
        await stack.enter_async_context(pool.running())
        for status in pool.status():
            assert status.has_capabilities
        library = ReloadableLibrary(
            lambda: load_workflows(resources.path("workflows"), personas_dir)
        )
        yield Worker(pool, library, WarmClaims(redis), idle_s=idle_s)


def _texts(host: SandboxComfyUI) -> Sequence[Any]:
    return [
        each["inputs"]["text"]
        for posted in host.posted
        for each in posted.graph.values()
        if each["class_type"] == "CLIPTextEncode"
    ]


async def test_the_first_picture_after_a_start_does_not_wait_for_its_models(
    products: ProductFactory, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    personas_dir = kept_warm(tmp_path / "own", "lina")
    async with products.start(works=False, personas_dir=personas_dir) as product:
        [host] = product.hosts
        await host.kill()
        host.model_load_seconds = LOADING_S
        await host.start()
        async with product.worker():
            async with asyncio.timeout(PATIENCE_S):
                while not host.drawn:  # noqa: ASYNC110 (a host sets no event)
                    await asyncio.sleep(0.01)
            warmed = host.posted[0].prompt_id
            picture = await product.picture(persona="lina")

    assert picture.state is State.DELIVERED
    assert _texts(host)[0] == WARM_PROMPT
    assert [load.prompt_id for load in host.account.loads] == [warmed]
    assert len(product.telegram.sent) == 1


async def test_nothing_is_left_on_the_host_and_the_models_count_as_loaded(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    async with worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker:
        await worker.step()
        await worker.step()
        [status] = worker.pool.status()
        async with connect_client(host.address) as other:
            history = await other.get("/history")

    assert len(host.posted) == 1
    assert history == {}
    assert worker.count(host, "loaded") == 1
    assert status.loaded is not None
    assert status.taken == 0


async def test_a_picture_that_wants_the_only_slot_gets_it_at_once(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(STALL)
    async with worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker:
        await worker.keep_warm.step()
        await host.happened(STALL)

        caller = SlotCaller(worker.pool).start()
        async with asyncio.timeout(PATIENCE_S / 2):
            await caller.lent.wait()
        await caller.end()
        await worker.settled()

    assert [drawn.succeeded for drawn in host.drawn] == [False]
    assert worker.count(host, "gave_way") == 1


async def test_a_prompt_that_a_host_does_not_give_up_while_it_loads_is_a_stray(
    redis: Redis, tmp_path: Path
) -> None:
    limits = replace(LIMITS, cancel_s=50 * MS)
    async with (
        SandboxComfyUI(models=required_models(), model_load_seconds=PATIENCE_S) as host,
        worker_of(redis, kept_warm(tmp_path, "lina"), host, limits=limits) as worker,
    ):
        await worker.keep_warm.step()
        async with asyncio.timeout(PATIENCE_S):
            while not host.account.loads:  # noqa: ASYNC110 (a host sets no event)
                await asyncio.sleep(10 * MS)

        caller = SlotCaller(worker.pool).start()
        await worker.settled()
        await caller.end()

    assert worker.strays == [(host.posted[0].prompt_id, host.address)]


async def test_a_picture_of_another_worker_gets_the_slot_too(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(STALL)
    personas_dir = kept_warm(tmp_path, "lina")
    async with (
        worker_of(redis, personas_dir, host, is_shared=True) as worker,
        worker_of(redis, personas_dir, host, is_shared=True) as other,
    ):
        await worker.keep_warm.step()
        await host.happened(STALL)

        caller = SlotCaller(other.pool).start()
        async with asyncio.timeout(PATIENCE_S / 2):
            await caller.lent.wait()
        await caller.end()
        await worker.settled()

    assert [drawn.succeeded for drawn in host.drawn] == [False]


async def test_somebody_elses_prompt_ends_the_loading(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(STALL)
    async with (
        worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker,
        connect_client(host.address) as other,
    ):
        await worker.keep_warm.step()
        await host.happened(STALL)
        await other.post(persona_graph(lora=str(host.models["loras"][0]), size=(64, 64)))

        async with asyncio.timeout(PATIENCE_S / 2):
            await worker.settled()

    assert host.drawn[0].succeeded is False


async def test_a_host_that_others_use_loads_nothing(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(STALL)
    async with (
        worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker,
        connect_client(host.address) as other,
    ):
        await other.post(persona_graph(lora=str(host.models["loras"][0]), size=(64, 64)))
        await host.happened(STALL)

        await worker.step()

    assert len(host.posted) == 1


async def test_a_host_that_was_used_a_moment_ago_loads_nothing(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    async with worker_of(redis, kept_warm(tmp_path, "lina"), host, idle_s=3600) as worker:
        await SlotCaller(worker.pool).start().end()

        await worker.step()

    assert host.posted == []


async def test_two_workers_load_the_same_models_once(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    personas_dir = kept_warm(tmp_path, "lina")
    async with (
        SandboxComfyUI(models=required_models()) as second,
        worker_of(redis, personas_dir, host, second, is_shared=True) as worker,
        worker_of(redis, personas_dir, host, second, is_shared=True) as other,
    ):
        await asyncio.gather(worker.step(), other.step())
        await worker.step()
        await other.step()

    assert len(host.posted) + len(second.posted) == 1


async def test_two_personas_are_loaded_on_two_hosts_and_push_each_other_out_of_none(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    personas_dir = kept_warm(tmp_path, "lina", "ash")
    async with SandboxComfyUI(models=required_models()) as second:
        async with worker_of(redis, personas_dir, host, second) as worker:
            for _ in range(3):
                await worker.step()
            loaded = {status.loaded for status in worker.pool.status()}

        assert (len(host.posted), len(second.posted), len(loaded)) == (1, 1, 2)


async def test_on_a_single_host_the_first_persona_stays(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    async with worker_of(redis, kept_warm(tmp_path, "lina", "ash"), host) as worker:
        for _ in range(3):
            await worker.step()

    assert len(host.posted) == 1


async def test_after_failures_the_pauses_grow_for_all_workers(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(BAD_GPU)
    personas_dir = kept_warm(tmp_path, "lina")
    async with (
        worker_of(redis, personas_dir, host, is_shared=True) as worker,
        worker_of(redis, personas_dir, host, is_shared=True) as other,
    ):
        await worker.step()
        first = await _left_s(redis)
        tried = len(host.posted)
        await worker.step()
        await other.step()
        assert len(host.posted) == tried == 2, "small, then as the persona draws"

        worker.clock.now += 30
        await redis.flushdb()  # as the keys expire
        await worker.step()

        assert len(host.posted) == 4
        assert (first, await _left_s(redis)) == (30, 60)


async def _left_s(redis: Redis) -> int:
    [key] = [key async for key in redis.scan_iter("imagegen:warm:*")]
    left_ms: int = await redis.pttl(key)
    return round(left_ms / 1000)


async def test_without_redis_nothing_is_loaded(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    async with worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker:
        worker.keep_warm._claims = WarmClaims(Redis(port=1))

        await worker.step()

    assert host.posted == []


async def test_a_worker_that_stops_takes_its_prompt_off(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    host.script(STALL)
    async with worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker:
        async with worker.keep_warm.running(is_stopping=lambda: False):
            await host.happened(STALL)
        async with connect_client(host.address) as other:
            queue = await other.get("/prompt")

    assert queue["exec_info"]["queue_remaining"] == 0


async def test_a_prompt_of_a_worker_that_stops_while_its_host_loads_is_a_stray_in_time(
    redis: Redis, tmp_path: Path
) -> None:
    async with (
        SandboxComfyUI(models=required_models(), model_load_seconds=PATIENCE_S) as host,
        worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker,
        asyncio.timeout(None) as in_time,
        worker.keep_warm.running(is_stopping=lambda: False),
    ):
        async with asyncio.timeout(PATIENCE_S):
            while not host.account.loads:  # noqa: ASYNC110 (a host sets no event)
                await asyncio.sleep(10 * MS)
        in_time.reschedule(asyncio.get_running_loop().time() + shutdown._CLEAN_UP_S)

    assert worker.strays == [(host.posted[0].prompt_id, host.address)]


async def test_a_worker_that_is_about_to_stop_begins_nothing(
    redis: Redis, tmp_path: Path, host: SandboxComfyUI
) -> None:
    was_asked = asyncio.Event()

    def is_stopping() -> bool:
        was_asked.set()
        return True

    async with (
        worker_of(redis, kept_warm(tmp_path, "lina"), host) as worker,
        worker.keep_warm.running(is_stopping=is_stopping),
        asyncio.timeout(PATIENCE_S),
    ):
        await was_asked.wait()

    assert host.posted == []
