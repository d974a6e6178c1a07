"""Memory: what a worker holds after thousands of pictures, beyond what its imports take."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator

from tests.benchmarks.chaos.sandbox_client import ROOT
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.our_worker import OurWorker
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Meter, rss_mb

NAME = "memory"
_OPTIONS = FleetOptions(hosts=4, drawing_s=0.1)
_MOST_MB, _MOST_GROWTH_MB = 60, 5
_PATIENCE_S = 900.0
# What a worker has imported before it opens anything.
_IMPORTS = """
import arq.cli, imagegen.worker, time
print("imported", flush=True)
time.sleep(60)
"""


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Look at a worker's memory after the first part of the pictures and after all."""
    first, last = (100, 300) if backends.is_quick else (1000, 3000)
    home = await backends.clear(NAME)
    imports = _imports_mb()
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet) as we,
    ):
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        early = await _after(we, first)
        late = await _after(we, last)
        worker_load, sandbox_load = worker.read(), sandbox.read()
    yield Figure(
        row=NAME,
        name=f"after {last} pictures, beyond imports",
        measured=f"{late - imports:.0f} MB ({late - early:+.1f} MB since {first})",
        target=f"≤ {_MOST_MB} MB, ≤ {_MOST_GROWTH_MB:+} MB",
        is_reached=late - imports <= _MOST_MB and late - early <= _MOST_GROWTH_MB,
        worker_cpu=worker_load.cores,
        sandbox_cpu=sandbox_load.cores,
        facts={"imports_mb": imports, "early_mb": early, "late_mb": late},
    )


async def _after(we: OurWorker, count: int) -> float:
    """Draw until there are so many pictures, never with more than a few hundred queued."""
    while (so_far := len(we.requests)) < count:
        await we.submit(min(200, count - so_far))
        await all_ended(we, len(we.requests) - 50, patience_s=_PATIENCE_S)
    await all_ended(we, count, patience_s=_PATIENCE_S)
    await asyncio.sleep(2)
    return rss_mb(we.workers[0].pid)


def _imports_mb() -> float:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", _IMPORTS], stdout=subprocess.PIPE, env=environment
    ) as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        try:
            return rss_mb(popen.pid)
        finally:
            popen.kill()
