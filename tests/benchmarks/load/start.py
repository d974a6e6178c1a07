"""Start: how long until a worker is ready, and what importing the hook costs a bot."""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.chaos.sandbox_client import ROOT
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure

NAME = "start"
_COMMAND = (str(Path(sys.executable).with_name("imagegen")), "worker")
_READY_S, _IMPORT_S = 6.0, 0.8


async def run(backends: BenchmarkServers) -> list[Figure]:
    """Do both some times and take the median."""
    times = 2 if backends.is_quick else 5
    ready = [await _ready_s(backends, number) for number in range(times)]
    imports = [_import_s() for _ in range(times)]
    return [
        _figure("imagegen worker to ready", ready, _READY_S),
        _figure("import chatflow_hook", imports, _IMPORT_S),
    ]


def _figure(name: str, seconds: list[float], most: float) -> Figure:
    return Figure(
        row=NAME,
        name=name,
        measured=f"{median(seconds):.2f} s",
        target=f"≤ {most:g} s",
        is_reached=median(seconds) <= most,
        facts={"seconds": seconds},
    )


async def _ready_s(backends: BenchmarkServers, number: int) -> float:
    home = await backends.clear(f"{NAME} {number}")
    async with (
        open_fleet(home, FleetOptions(hosts=2, drawing_s=1.0)) as fleet,
        our_worker.start_without_workers(backends, home, fleet, command=_COMMAND) as we,
    ):
        began = time.monotonic()
        we.start()
        await we.ready()
        return time.monotonic() - began


def _import_s() -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import chatflow_hook"],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    return time.monotonic() - began
