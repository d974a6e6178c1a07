"""Backlog: twenty thousand waiting requests slow nothing down."""

import asyncio
import time
from collections.abc import AsyncGenerator

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter, rss_mb

NAME = "backlog"
_OPTIONS = FleetOptions(hosts=4, drawing_s=0.5, jitter=0.2)
_FEW = 100
_NEAR = 0.05
_FLAT_MB = 5.0
_RAMP_S = 3.0


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Measure the rate of delivery with a short queue and with a long one."""
    many, window_s = (2000, 9.0) if backends.is_quick else (20_000, 30.0)
    few_rate, *_ = await _rate(backends, _FEW, window_s=9.0)
    rate, growth, worker, sandbox = await _rate(backends, many, window_s=window_s)
    yield Figure(
        row=NAME,
        name=f"{many} queued",
        measured=f"{rate:.2f}/s, with {_FEW}: {few_rate:.2f}/s; memory {growth:+.1f} MB",
        target=f"within {_NEAR:.0%}, memory flat",
        is_reached=rate >= (1 - _NEAR) * few_rate and growth <= _FLAT_MB,
        worker_cpu=worker.cores,
        sandbox_cpu=sandbox.cores,
        facts={"rate": rate, "rate_of_few": few_rate, "growth_mb": growth},
    )


async def _rate(
    backends: BenchmarkServers, count: int, *, window_s: float
) -> tuple[float, float, Load, Load]:
    """Return pictures/s and what the worker's memory grew by in that time, in MB."""
    home = await backends.clear(f"{NAME} {count}")
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_without_workers(backends, home, fleet, REQUEST_MAX_AGE="0") as we,
    ):
        await we.submit(count)
        we.start()
        await we.ready()
        await all_ended(we, 1, patience_s=60)
        await asyncio.sleep(_RAMP_S)
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        memory, arrived, began = rss_mb(we.workers[0].pid), await fleet.arrived(), time.monotonic()
        await asyncio.sleep(window_s)
        rate = (await fleet.arrived() - arrived) / (time.monotonic() - began)
        return rate, rss_mb(we.workers[0].pid) - memory, worker.read(), sandbox.read()
