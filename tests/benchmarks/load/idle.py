"""Idle overhead: what we add to a single picture, and what a worker costs that does nothing."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.our_worker import OurWorker
from tests.benchmarks.load.sandbox_fleet import FleetClient, FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Meter
from tests.benchmarks.report.quantiles import quantile

NAME = "idle"
_MOST_CPU = 0.003
_PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class IdleCase:
    """Pictures of one size, and the most that is to be added to their drawing, in milliseconds."""

    name: str
    options: FleetOptions
    p50_ms: float
    p95_ms: float


_SMALL = IdleCase(
    name="trigger to photo, minus drawing",
    options=FleetOptions(hosts=1, drawing_s=0.3, jitter=0.2),
    p50_ms=20,
    p95_ms=35,
)
_LARGE = IdleCase(
    name="trigger to photo of 1.3 MB, minus drawing",
    options=FleetOptions(hosts=1, drawing_s=0.3, jitter=0.2, large=True),
    p50_ms=45,
    p95_ms=60,
)


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Ask for one picture at a time; then for none."""
    count, idle_s = (15, 5.0) if backends.is_quick else (60, 20.0)
    for case in (_SMALL, _LARGE):
        home = await backends.clear(f"{NAME} {case.options.large}")
        async with (
            open_fleet(home, case.options) as fleet,
            our_worker.start_with_workers(backends, home, fleet) as we,
        ):
            yield await _overhead(we, fleet, case, count)
            if case is _SMALL:
                yield await _doing_nothing(we, fleet, idle_s, backends.calibration.most(_MOST_CPU))


async def _overhead(we: OurWorker, fleet: FleetClient, case: IdleCase, count: int) -> Figure:
    worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
    triggered = {}
    for dialog_id in range(1, count + 1):
        triggered[str(dialog_id)] = time.time()
        await _one(we, dialog_id)
    worker_load, sandbox_load = worker.read(), sandbox.read()
    overheads = _overheads_ms(we, await fleet.record(), triggered)
    p50, p95 = quantile(overheads, 0.5), quantile(overheads, 0.95)
    return Figure(
        row=NAME,
        name=case.name,
        measured=f"p50 {p50:.0f} ms, p95 {p95:.0f} ms",
        target=f"p50 ≤ {case.p50_ms:g} ms, p95 ≤ {case.p95_ms:g} ms",
        ceiling="0 ms",
        is_reached=p50 <= case.p50_ms and p95 <= case.p95_ms,
        worker_cpu=worker_load.cores,
        sandbox_cpu=sandbox_load.cores,
        facts={"overheads_ms": overheads, "cpu_ms": 1000 * worker_load.seconds / count},
    )


async def _doing_nothing(we: OurWorker, fleet: FleetClient, idle_s: float, most: float) -> Figure:
    worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
    await asyncio.sleep(idle_s)
    load, sandbox_load = worker.read(), sandbox.read()
    return Figure(
        row=NAME,
        name="CPU of an idle worker",
        measured=f"{load.cores:.2%}",
        target=f"≤ {most:.1%}",
        ceiling="0%",
        is_reached=load.cores <= most,
        worker_cpu=load.cores,
        sandbox_cpu=sandbox_load.cores,
        facts={"seconds": idle_s},
    )


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
