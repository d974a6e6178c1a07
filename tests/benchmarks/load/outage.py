"""Outage: a host dies, is down from the start, or is out of reach while it goes on drawing."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace

from tests.benchmarks.baselines import arq_contestant, celery_contestant
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import Contestant, RunningContestant, all_ended
from tests.benchmarks.load.sandbox_fleet import FleetClient, FleetOptions, open_fleet
from tests.benchmarks.load.saturation import OPTIONS
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "outage"
_OUT_S = 20.0
_PATIENCE_S = 400.0
# A baseline that has not ended anything for so long never will.
_QUIET_S = 20.0


@dataclass(frozen=True, kw_only=True)
class OutageOutcome:
    arrived: int
    twice: int
    took_s: float
    doubles: int
    worker: Load
    sandbox: Load


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Let everybody meet the first outage, and us the others too."""
    count, of_others = (12, 12) if backends.is_quick else (40, 20)
    yield await _figure(backends, _OUTAGES[0], our_worker.CONTESTANT, count)
    for who in (arq_contestant.CONTESTANT, celery_contestant.QUICK):
        yield await _figure(backends, _OUTAGES[0], who, of_others)
    for outage in () if backends.is_quick else _OUTAGES[1:]:
        yield await _figure(backends, outage, our_worker.CONTESTANT, of_others)


@dataclass(frozen=True, kw_only=True)
class OutageScenario:
    """What happens to host 1, before the first submission or when a third has ended."""

    name: str
    options: FleetOptions = OPTIONS
    before: Callable[[FleetClient], Awaitable[None]] | None = None
    between: Callable[[FleetClient], Awaitable[None]] | None = None


async def _killed(fleet: FleetClient) -> None:
    await fleet.do("hosts/1", "kill")
    await asyncio.sleep(_OUT_S)
    await fleet.do("hosts/1", "heal")


async def _down(fleet: FleetClient) -> None:
    await fleet.do("hosts/1", "kill")


async def _unreachable(fleet: FleetClient) -> None:
    await fleet.do("proxies/1", "silence")
    await asyncio.sleep(_OUT_S)
    await fleet.do("proxies/1", "resume")


_OUTAGES = (
    OutageScenario(name="killed for 20 s", between=_killed),
    OutageScenario(name="down from the start", before=_down),
    OutageScenario(
        name="out of reach for 20 s",
        options=replace(OPTIONS, proxies=True),
        between=_unreachable,
    ),
)


async def _figure(
    backends: BenchmarkServers, outage: OutageScenario, who: Contestant, count: int
) -> Figure:
    outcome = await _suffered(backends, outage, who, count)
    is_ours = who is our_worker.CONTESTANT
    missing = count - outcome.arrived
    return Figure(
        row=NAME,
        name=f"{outage.name}, {who.name}",
        measured=f"{missing} of {count} missing, {outcome.twice} sent twice, "
        f"{outcome.doubles} drawn twice, {outcome.took_s:.0f} s",
        target=f"0 of {count} missing" if is_ours else "",
        ceiling="0 missing",
        is_reached=missing == 0 and outcome.twice == 0 if is_ours else None,
        worker_cpu=outcome.worker.cores,
        sandbox_cpu=outcome.sandbox.cores,
        facts={"missing": missing, "of": count, "doubles": outcome.doubles},
    )


async def _suffered(
    backends: BenchmarkServers, outage: OutageScenario, who: Contestant, count: int
) -> OutageOutcome:
    home = await backends.clear(f"{NAME} {outage.name} {who.name}")
    async with open_fleet(home, outage.options) as fleet:
        if outage.before is not None:
            await outage.before(fleet)
        async with who.start_with_workers(backends, home, fleet) as contestant:
            worker = Meter([each.pid for each in contestant.workers])
            sandbox = Meter([fleet.pid])
            await contestant.submit(count)
            took_s = await _through(outage, contestant, fleet, count)
            record = await fleet.record()
            captions = [each["caption"] for each in record["arrivals"]]
            return OutageOutcome(
                arrived=len(set(captions)),
                twice=len(captions) - len(set(captions)),
                took_s=took_s,
                doubles=len(record["doubles"]),
                worker=worker.read(),
                sandbox=sandbox.read(),
            )


async def _through(
    outage: OutageScenario, contestant: RunningContestant, fleet: FleetClient, count: int
) -> float:
    third_s = await all_ended(contestant, count // 3, patience_s=_PATIENCE_S)
    happening = None
    if outage.between is not None:
        happening = asyncio.ensure_future(outage.between(fleet))
    rest_s = await all_ended(contestant, count, patience_s=_PATIENCE_S, quiet_s=_QUIET_S)
    if happening is not None:
        await happening
    return third_s + rest_s
