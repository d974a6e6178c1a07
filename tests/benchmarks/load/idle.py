"""Idle overhead: what we add to a single picture, and what a worker costs that does nothing."""

import asyncio
import time
from typing import Any

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.our_worker import OurWorker
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Meter
from tests.benchmarks.report.quantiles import quantile

NAME = "idle"
_OPTIONS = FleetOptions(hosts=1, drawing_s=0.3, jitter=0.2)
_P50_MS, _P95_MS = 50, 100
_MOST_CPU = 0.02
_PATIENCE_S = 30.0


async def run(backends: BenchmarkServers) -> list[Figure]:
    """Ask for one picture at a time; then for none."""
    count, idle_s = (15, 5.0) if backends.is_quick else (60, 20.0)
    home = await backends.clear(NAME)
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet) as we,
    ):
        meter, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        triggered = {}
        for dialog_id in range(1, count + 1):
            triggered[str(dialog_id)] = time.time()
            await _one(we, dialog_id)
        busy, yard = meter.read(), sandbox.read()
        record = await fleet.record()
        meter, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        await asyncio.sleep(idle_s)
        idle, idle_yard = meter.read(), sandbox.read()
    overheads = _overheads_ms(we, record, triggered)
    p50, p95 = quantile(overheads, 0.5), quantile(overheads, 0.95)
    return [
        Figure(
            row=NAME,
            name="trigger to photo, minus drawing",
            measured=f"p50 {p50:.0f} ms, p95 {p95:.0f} ms",
            target=f"p50 ≤ {_P50_MS} ms, p95 ≤ {_P95_MS} ms",
            is_reached=p50 <= _P50_MS and p95 <= _P95_MS,
            worker_cpu=busy.cores,
            sandbox_cpu=yard.cores,
            facts={"overheads_ms": overheads},
        ),
        Figure(
            row=NAME,
            name="CPU of an idle worker",
            measured=f"{idle.cores:.1%}",
            target=f"≤ {_MOST_CPU:.0%}",
            is_reached=idle.cores <= _MOST_CPU,
            worker_cpu=idle.cores,
            sandbox_cpu=idle_yard.cores,
            facts={"seconds": idle_s},
        ),
    ]


async def _one(we: OurWorker, dialog_id: int) -> None:
    await we.ask([dialog_id])
    picture = await we.hook.wait(we.requests[-1], timeout=_PATIENCE_S)
    if picture.error_code is not None:
        raise RuntimeError(f"a picture failed: {picture.error_code}")


def _overheads_ms(we: OurWorker, record: Any, triggered: dict[str, float]) -> list[float]:
    drawing = {each["picture"]: each["seconds"] for each in record["hosts"][0]["drawings"]}
    of = {str(request.dialog_id): str(request.id) for request in we.requests}
    return [
        1000 * (each["when"] - triggered[each["caption"]] - drawing[of[each["caption"]]])
        for each in record["arrivals"]
    ]
