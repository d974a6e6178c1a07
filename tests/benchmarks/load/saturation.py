"""Saturation: for what share of the time the GPUs draw while requests wait; us and the baselines."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.baselines import arq_contestant, celery_contestant
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import Contestant, all_ended
from tests.benchmarks.load.sandbox_fleet import FleetClient, FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import gpu_time
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "saturation"
OPTIONS = FleetOptions(hosts=2, drawing_s=2.0, jitter=0.2, fetch_s=0.15, telegram_s=0.4, large=True)
_TARGET = 0.985
_PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class SaturationOutcome:
    """The measurements of one contestant."""

    count: int
    arrived: int
    took_s: float
    worker: Load
    sandbox: Load
    lines: list[gpu_time.Timeline]
    record: Mapping[str, Any]


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Measure each contestant with the same pictures, one after the other."""
    # The baselines' share does not depend on the number; they are slow.
    count, of_others = (10, 10) if backends.is_quick else (60, 16)
    everybody = (
        our_worker.CONTESTANT,
        arq_contestant.CONTESTANT,
        celery_contestant.QUICK,
        celery_contestant.SLOW,
    )
    for who in everybody:
        drawings = count if who is everybody[0] else of_others
        yield _figure(who, await drawn(backends, who, drawings))


async def drawn(backends: BenchmarkServers, who: Contestant, count: int) -> SaturationOutcome:
    """Let a contestant draw so many pictures under the conditions of this row."""
    home = await backends.clear(f"{NAME} {who.name}")
    async with (
        open_fleet(home, OPTIONS) as fleet,
        who.start_with_workers(backends, home, fleet) as contestant,
    ):
        worker = Meter([each.pid for each in contestant.workers])
        sandbox = Meter([fleet.pid])
        await contestant.submit(count)
        took_s = await all_ended(contestant, count, patience_s=_PATIENCE_S)
        return await _outcome(fleet, count, took_s, worker.read(), sandbox.read())


async def _outcome(
    fleet: FleetClient, count: int, took_s: float, worker: Load, sandbox: Load
) -> SaturationOutcome:
    record = await fleet.record()
    return SaturationOutcome(
        count=count,
        arrived=len({each["caption"] for each in record["arrivals"]}),
        took_s=took_s,
        worker=worker,
        sandbox=sandbox,
        lines=gpu_time.timelines(record),
        record=record,
    )


def _figure(who: Contestant, outcome: SaturationOutcome) -> Figure:
    share = gpu_time.saturation(outcome.lines)
    is_ours = who is our_worker.CONTESTANT
    return Figure(
        row=NAME,
        name=who.name,
        measured=f"{share:.3f} ({outcome.arrived} of {outcome.count} in {outcome.took_s:.0f} s)",
        target=f"≥ {_TARGET}" if is_ours else "",
        ceiling="0.99",
        is_reached=share >= _TARGET and outcome.arrived == outcome.count if is_ours else None,
        worker_cpu=outcome.worker.cores,
        sandbox_cpu=outcome.sandbox.cores,
        facts={"saturation": share, "timelines": [asdict(line) for line in outcome.lines]},
    )
