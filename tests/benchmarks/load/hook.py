"""Hook: what a turn costs the bot, in its own process, on PostgreSQL."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatflow_hook import ChatFlowHook
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Meter
from tests.benchmarks.report.quantiles import quantile
from tests.support import conversations

NAME = "hook"
_RATE = 200
_DIALOGS = 400
_AT_ONCE = 32
_P95_MS = 8.0
_PER_S = 800


async def run(backends: BenchmarkServers) -> list[Figure]:
    """Come at a fixed rate; then as fast as 32 dialogs can."""
    seconds = 3.0 if backends.is_quick else 15.0
    await backends.clear(NAME)
    async with _warm(backends) as hook:
        open_loop = await _open_loop(hook, seconds)
        return [open_loop, await _closed_loop(hook, seconds)]


async def _open_loop(hook: ChatFlowHook, seconds: float) -> Figure:
    meter, latencies = Meter(), list[float]()

    async def turn(number: int) -> None:
        # From when it was due: a turn that could not begin in time has waited too.
        due = began + number / _RATE
        await hook.on_turn(conversations.turn(1 + number % _DIALOGS, text=f"message {number}"))
        latencies.append(time.perf_counter() - due)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * _RATE)):
            await asyncio.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
            group.create_task(turn(number))
    p50, p95 = (1000 * quantile(latencies, share) for share in (0.5, 0.95))
    return Figure(
        row=NAME,
        name=f"{_RATE} turns/s",
        measured=f"p50 {p50:.1f} ms, p95 {p95:.1f} ms",
        target=f"p95 ≤ {_P95_MS:g} ms",
        is_reached=p95 <= _P95_MS,
        worker_cpu=meter.read().cores,
        facts={"p50_ms": p50, "p95_ms": p95, "turns": len(latencies)},
    )


async def _closed_loop(hook: ChatFlowHook, seconds: float) -> Figure:
    meter, turns = Meter(), itertools.count()
    began = time.perf_counter()

    async def talk(dialog_id: int) -> None:
        while time.perf_counter() - began < seconds:
            await hook.on_turn(conversations.turn(dialog_id))
            next(turns)

    await asyncio.gather(*(talk(_DIALOGS + number) for number in range(1, _AT_ONCE + 1)))
    rate = next(turns) / (time.perf_counter() - began)
    return Figure(
        row=NAME,
        name=f"{_AT_ONCE} dialogs, each as fast as it can",
        measured=f"{rate:.0f} turns/s",
        target=f"≥ {_PER_S} turns/s",
        is_reached=rate >= _PER_S,
        worker_cpu=meter.read().cores,
        facts={"turns_per_s": rate},
    )


@asynccontextmanager
async def _warm(backends: BenchmarkServers) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(
        backends.database_url, backends.redis_url, image_trigger_min=3, image_trigger_max=5
    )
    async with ChatFlowHook(settings) as hook:
        await asyncio.gather(
            *(hook.on_turn(conversations.turn(10_000 + n)) for n in range(_AT_ONCE))
        )
        yield hook
