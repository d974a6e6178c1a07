"""Recovery: a worker is killed in the middle of twenty pictures; another one takes over.

One that only stands still for some seconds keeps what it has.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.baselines import arq_contestant, celery_contestant
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import Contestant, RunningContestant, all_ended
from tests.benchmarks.load.our_worker import OurWorker
from tests.benchmarks.load.sandbox_fleet import FleetClient, open_fleet
from tests.benchmarks.load.saturation import OPTIONS
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "recovery"
_COUNT = 20
_BEFORE = 6
_STANDBY_WITHIN_S, _RESTART_WITHIN_S = 2.5, 10.0
_PATIENCE_S = 200.0
_STOPPED_S, _STOPPED_COUNT = 5.0, 8
# What has not come back after so long does not come back soon.
_QUIET_S = 15.0
_NO_LOAD = Load(cores=0.0, seconds=0.0)
_CLAIMS = """
    SELECT id::text, claim::text, state IN ('queued', 'drawing', 'drawn', 'delivering') AS is_open
    FROM image_requests
"""


@dataclass(frozen=True, kw_only=True)
class RecoveryOutcome:
    """`again_s` is how long until every request that the dead worker had was claimed anew.

    The worker's load is that of the one that goes on, from the kill to the end.
    """

    again_s: float | None
    arrived: int
    sent_twice: int
    drawn_twice: int
    worker: Load
    sandbox: Load


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Kill our worker beside a standby and with a restart; then those of the baselines."""
    standby = await _with_standby(backends)
    yield _ours("standby worker", standby, within_s=_STANDBY_WITHIN_S)
    restart = await _with_restart(backends)
    yield _ours("restart", restart, within_s=_RESTART_WITHIN_S)
    yield await _stopped(backends)
    others = () if backends.is_quick else (arq_contestant.CONTESTANT, celery_contestant.QUICK)
    for who in others:
        yield await _baseline(backends, who)


def _ours(name: str, outcome: RecoveryOutcome, *, within_s: float) -> Figure:
    again_s = outcome.again_s
    is_whole = (outcome.arrived, outcome.sent_twice, outcome.drawn_twice) == (_COUNT, 0, 0)
    again = "not all going again" if again_s is None else f"all going again after {again_s:.1f} s"
    return Figure(
        row=NAME,
        name=name,
        measured=f"{again}, {_counts(outcome)}",
        target=f"≤ {within_s:g} s, {_COUNT} of {_COUNT}, none twice",
        is_reached=again_s is not None and again_s <= within_s and is_whole,
        worker_cpu=outcome.worker.cores,
        sandbox_cpu=outcome.sandbox.cores,
        facts=asdict(outcome),
    )


def _counts(outcome: RecoveryOutcome, count: int = _COUNT) -> str:
    return (
        f"{outcome.arrived} of {count}, {outcome.drawn_twice} drawn twice, "
        f"{outcome.sent_twice} sent twice"
    )


async def _with_standby(backends: BenchmarkServers) -> RecoveryOutcome:
    async with _beside_standby(backends, "standby", _COUNT) as (we, fleet):
        await all_ended(we, _BEFORE, patience_s=_PATIENCE_S)
        claims = await _claims(we)
        we.workers[0].kill()
        return await _finished(we, fleet, claims, time.monotonic())


@asynccontextmanager
async def _beside_standby(
    backends: BenchmarkServers, name: str, count: int
) -> AsyncIterator[tuple[OurWorker, FleetClient]]:
    """Run two workers of which the first has claimed all, and has ended two."""
    home = await backends.clear(f"{NAME} {name}")
    async with (
        open_fleet(home, OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet, WORKERS_SHARE_HOSTS="true") as we,
    ):
        we.start()
        await we.ready()
        # The standby stands still until all is the first one's.
        we.workers[1].freeze()
        await we.submit(count)
        await all_ended(we, 2, patience_s=_PATIENCE_S)
        we.workers[1].thaw()
        yield we, fleet


async def _stopped(backends: BenchmarkServers) -> Figure:
    """Stop a worker for some seconds beside a standby, and see that nothing is taken from it."""
    async with _beside_standby(backends, "stopped", _STOPPED_COUNT) as (we, fleet):
        claims = await _claims(we)
        we.workers[0].freeze()
        await asyncio.sleep(_STOPPED_S)
        now = await _claims(we)
        we.workers[0].thaw()
        taken = sum(now.get(id_) != claim for id_, claim in claims.items())
        await all_ended(we, _STOPPED_COUNT, patience_s=_PATIENCE_S)
        outcome = _outcome(await fleet.record(), None, {"worker": _NO_LOAD, "sandbox": _NO_LOAD})
    is_whole = (outcome.arrived, outcome.sent_twice, outcome.drawn_twice) == (_STOPPED_COUNT, 0, 0)
    return Figure(
        row=NAME,
        name=f"a worker stands still for {_STOPPED_S:g} s beside a standby",
        measured=f"{taken} of {len(claims)} overtaken, {_counts(outcome, _STOPPED_COUNT)}",
        target="none overtaken, none twice",
        is_reached=taken == 0 and is_whole,
        facts=asdict(outcome),
    )


async def _with_restart(backends: BenchmarkServers) -> RecoveryOutcome:
    home = await backends.clear(f"{NAME} restart")
    async with (
        open_fleet(home, OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet) as we,
    ):
        await we.submit(_COUNT)
        await all_ended(we, _BEFORE, patience_s=_PATIENCE_S)
        claims = await _claims(we)
        we.workers[0].kill()
        we.start()
        await we.ready()
        return await _finished(we, fleet, claims, time.monotonic())


async def _claims(we: OurWorker) -> dict[str, str]:
    found = await we.rows(_CLAIMS)
    return {row["id"]: row["claim"] for row in found if row["is_open"] and row["claim"]}


async def _finished(
    we: OurWorker, fleet: FleetClient, claims: dict[str, str], since: float
) -> RecoveryOutcome:
    worker, sandbox = Meter([we.workers[-1].pid]), Meter([fleet.pid])
    again_s = await _all_going(we, claims, since)
    await all_ended(we, _COUNT, patience_s=_PATIENCE_S)
    loads = {"worker": worker.read(), "sandbox": sandbox.read()}
    return _outcome(await fleet.record(), again_s, loads)


async def _all_going(we: OurWorker, claims: dict[str, str], since: float) -> float | None:
    while time.monotonic() - since < _PATIENCE_S:
        rows = {row["id"]: row for row in await we.rows(_CLAIMS)}
        held = [id_ for id_ in claims if rows[id_]["is_open"]]
        if all(rows[id_]["claim"] not in {None, claims[id_]} for id_ in held):
            return time.monotonic() - since
        await asyncio.sleep(0.05)
    return None


def _outcome(record: Any, again_s: float | None, loads: Mapping[str, Load]) -> RecoveryOutcome:
    captions = [each["caption"] for each in record["arrivals"]]
    return RecoveryOutcome(
        again_s=again_s,
        arrived=len(set(captions)),
        sent_twice=len(captions) - len(set(captions)),
        drawn_twice=len(record["doubles"]),
        **loads,
    )


async def _baseline(backends: BenchmarkServers, who: Contestant) -> Figure:
    home = await backends.clear(f"{NAME} {who.name}")
    async with (
        open_fleet(home, OPTIONS) as fleet,
        who.start_with_workers(backends, home, fleet) as contestant,
    ):
        await contestant.submit(_COUNT)
        await all_ended(contestant, _BEFORE, patience_s=_PATIENCE_S)
        await _replaced(contestant, contestant.workers[0].kill)
        worker, sandbox = Meter([contestant.workers[-1].pid]), Meter([fleet.pid])
        await all_ended(contestant, _COUNT, patience_s=_PATIENCE_S, quiet_s=_QUIET_S)
        loads = {"worker": worker.read(), "sandbox": sandbox.read()}
        outcome = _outcome(await fleet.record(), None, loads)
    return Figure(
        row=NAME,
        name=f"restart, {who.name}",
        measured=f"{_counts(outcome)} when nothing had come for {_QUIET_S:g} s",
        worker_cpu=outcome.worker.cores,
        sandbox_cpu=outcome.sandbox.cores,
        facts=asdict(outcome),
    )


async def _replaced(contestant: RunningContestant, kill: Callable[[], None]) -> None:
    kill()
    contestant.start()
    await contestant.ready()
