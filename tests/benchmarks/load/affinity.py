"""Affinity: hosts keep the models that they have loaded, and nobody waits longer for that."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.our_worker import PERSONAS
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter
from tests.benchmarks.report.quantiles import quantile

NAME = "affinity"
_HOSTS, _DRAWING_S, _LOADING_S = 4, 0.5, 1.5
_OPTIONS = FleetOptions(hosts=_HOSTS, drawing_s=_DRAWING_S, jitter=0.2, loading_s=_LOADING_S)
# What a picture takes by round robin: the load is a share of what that can draw.
_SERVICE_S = _DRAWING_S + _LOADING_S * (1 - 1 / len(PERSONAS))
_FEWER, _LONGER = 0.25, 1.25
_PATIENCE_S = 300.0
_ROUND_ROBIN = (sys.executable, "-m", "tests.benchmarks.baselines.round_robin_worker")
_WAITS = (
    "SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds FROM image_requests"
)


@dataclass(frozen=True, kw_only=True)
class AffinityArrival:
    """A request that comes so many seconds after the start."""

    at_s: float
    persona: str


@dataclass(frozen=True, kw_only=True)
class AffinityOutcome:
    changes: int
    waits_s: Sequence[float]
    worker: Load
    sandbox: Load


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Let both choices meet the same arrivals, at a high load."""
    count = 40 if backends.is_quick else 100
    yield await _figure(backends, 0.95, count)


def arrivals(count: int, load: float, *, seed: int) -> list[AffinityArrival]:
    """Make a Poisson process whose rate is that share of what round robin can draw."""
    chance = random.Random(f"{seed} {load}")
    rate = load * _HOSTS / _SERVICE_S
    found, at_s = [], 0.0
    for _ in range(count):
        at_s += chance.expovariate(rate)
        found.append(AffinityArrival(at_s=at_s, persona=chance.choice(PERSONAS)))
    return found


async def _figure(backends: BenchmarkServers, load: float, count: int) -> Figure:
    coming = arrivals(count, load, seed=1)
    other = await _drawn(backends, coming, f"round robin {load:.0%}", _ROUND_ROBIN)
    our = await _drawn(backends, coming, f"affinity {load:.0%}", our_worker.ARQ)
    fewer = 1 - our.changes / other.changes
    p99, other_p99 = quantile(our.waits_s, 0.99), quantile(other.waits_s, 0.99)
    return Figure(
        row=NAME,
        name=f"load {load:.0%}",
        measured=f"{fewer:.0%} fewer changes ({our.changes} instead of {other.changes} of {count}), "
        f"p99 wait {p99:.1f} s, {p99 / other_p99:.2f} × round robin's",
        target=f"≥ {_FEWER:.0%} fewer, ≤ {_LONGER:g} ×",
        is_reached=fewer >= _FEWER and p99 <= _LONGER * other_p99,
        worker_cpu=our.worker.cores,
        sandbox_cpu=our.sandbox.cores,
        facts={"ours": asdict(our), "round_robin": asdict(other)},
    )


async def _drawn(
    backends: BenchmarkServers, coming: Sequence[AffinityArrival], name: str, command: Sequence[str]
) -> AffinityOutcome:
    home = await backends.clear(f"{NAME} {name}")
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet, command=command) as we,
    ):
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for dialog_id, arrival in enumerate(coming, start=1):
                await asyncio.sleep(max(0.0, began + arrival.at_s - time.monotonic()))
                group.create_task(we.ask([dialog_id], persona=arrival.persona))
        await all_ended(we, len(coming), patience_s=_PATIENCE_S)
        loads = {"worker": worker.read(), "sandbox": sandbox.read()}
        record = await fleet.record()
        waits = [row["seconds"] for row in await we.rows(_WAITS)]
    changes = sum(host["model_loads"] for host in record["hosts"])
    return AffinityOutcome(changes=changes, waits_s=waits, **loads)
