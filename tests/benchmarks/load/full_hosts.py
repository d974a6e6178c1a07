"""Full hosts: a worker whose hundred hosts others have filled waits, and then gets slot after slot."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from chatflow_hook.settings import RedisPlace
from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.pool.pool import Pool
from imagegen.pool.shared_slots import RedisSlot, RedisSlotRegistry
from imagegen.pool.slot_scripts import room_channel
from imagegen.queue import connections
from imagegen.queue.worker_presence import WorkerPresence
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter
from tests.benchmarks.report.quantiles import quantile
from tests.support.pool_callers import needs
from tests.support.prompt_execution import LIMITS

NAME = "full-hosts"
_HOSTS, _SLOTS, _WAITING, _MODEL_SETS = 100, 2, 864, 8
_FREED = 40
_MOST_CPU, _WITHIN_S = 0.05, 0.05
_PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class FullHosts:
    """A pool with many callers, all of whose slots are `held`; `granted` has when each got one."""

    pool: Pool
    held: Sequence[RedisSlot]
    granted: "asyncio.Queue[float]"


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Measure the wait while nothing is free, and then how soon a freed slot is found."""
    await backends.clear(NAME)
    async with _full(backends) as full:
        await asyncio.sleep(2.0)  # until each host has been found full once
        meter = Meter()
        await asyncio.sleep(2.0 if backends.is_quick else 10.0)
        waiting = meter.read()
        found_s = [await _found_s(full, slot) for slot in full.held[:_FREED]]
    yield _wait_figure(waiting)
    yield _found_figure(found_s)


def _wait_figure(load: Load) -> Figure:
    return Figure(
        row=NAME,
        name=f"{_WAITING} wait for {_HOSTS} hosts that others fill",
        measured=f"{load.cores:.1%}",
        target=f"≤ {_MOST_CPU:.0%}",
        ceiling="0%",
        is_reached=load.cores <= _MOST_CPU,
        worker_cpu=load.cores,
    )


def _found_figure(found_s: Sequence[float]) -> Figure:
    return Figure(
        row=NAME,
        name="a freed slot is found",
        measured=f"p50 {1000 * quantile(found_s, 0.5):.0f} ms, most {1000 * max(found_s):.0f} ms",
        target=f"≤ {1000 * _WITHIN_S:.0f} ms",
        ceiling="two round trips",
        is_reached=max(found_s) <= _WITHIN_S,
        facts={"found_s": list(found_s)},
    )


async def _found_s(full: FullHosts, slot: RedisSlot) -> float:
    released_at = time.monotonic()
    slot.release()
    async with asyncio.timeout(_PATIENCE_S):
        return await full.granted.get() - released_at


@asynccontextmanager
async def _full(backends: BenchmarkServers) -> AsyncIterator[FullHosts]:
    async with _redis(backends) as theirs, _redis(backends) as ours:
        names = [f"10.0.0.{number + 1}:8188" for number in range(_HOSTS)]
        others, registry = RedisSlotRegistry(theirs), RedisSlotRegistry(ours, worker=NAME)
        clients = [HostClient(HostAddress.parse(name), limits=LIMITS) for name in names]
        pool = Pool(clients, slots_per_host=_SLOTS, shared=registry)
        granted: asyncio.Queue[float] = asyncio.Queue()
        presence = WorkerPresence(
            ours, NAME, channel=room_channel, on_message=registry.note_room, on_death=_ignore
        )

        async def caller(number: int) -> None:
            async with pool.lease(needs(f"set {number % _MODEL_SETS}"), user=number):
                granted.put_nowait(time.monotonic())
                await asyncio.Event().wait()

        async with others.renewed(), registry.renewed(), presence.shown():
            held = [await others.take(name, _SLOTS) for name in names for _ in range(_SLOTS)]
            callers = [asyncio.create_task(caller(number)) for number in range(_WAITING)]
            yield FullHosts(pool=pool, held=[slot for slot in held if slot], granted=granted)
            for task in callers:
                task.cancel()
            await asyncio.wait(callers)


def _redis(backends: BenchmarkServers) -> Redis:
    place = RedisPlace(arguments=dict(parse_url(backends.redis_url)))
    return connections.result_connection(place, db=4)


async def _ignore(_: str) -> None:
    pass
