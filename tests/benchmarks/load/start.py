"""Start: how long until a worker is ready and has sent a photo, and what importing the hook costs."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.chaos.sandbox_client import ROOT
from tests.benchmarks.load import our_worker
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure

NAME = "start"
_COMMAND = (str(Path(sys.executable).with_name("imagegen")), "worker")
_OPTIONS = FleetOptions(hosts=2, drawing_s=0.3)
_READY_S, _IMPORT_S, _OWN_IMPORT_S = 2.5, 0.8, 0.08
_PATIENCE_S = 60.0
_HOOK = "import chatflow_hook"
# All modules that the hook's import loads and that are not its own, in the order of their import.
_LIBRARIES = f"""
import sys
before = set(sys.modules)
{_HOOK}
own = "chatflow_hook"
print(*(name for name in sys.modules if name not in before and name.partition(".")[0] != own))
"""
_IMPORT_EACH = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # made by another module, which has a file
"""


@dataclass(frozen=True, kw_only=True)
class WorkerStart:
    """Seconds from the command to `worker ready`, and to the first photo without its drawing."""

    ready_s: float
    photo_s: float


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Do all some times and take the median."""
    times = 2 if backends.is_quick else 5
    starts = [await _start(backends, number) for number in range(times)]
    most_s = backends.calibration.most(_READY_S)
    yield _figure("imagegen worker to ready", [each.ready_s for each in starts], most_s)
    yield _figure("imagegen worker to its first photo", [each.photo_s for each in starts])
    imports = [_run_s(_HOOK) for _ in range(times)]
    most_s = backends.calibration.most(_IMPORT_S)
    yield _figure("import chatflow_hook", [each.wall_s for each in imports], most_s)
    yield _beyond_libraries(times, backends.calibration.most(_OWN_IMPORT_S))


def _figure(name: str, seconds: Sequence[float], most_s: float | None = None) -> Figure:
    return Figure(
        row=NAME,
        name=name,
        measured=f"{median(seconds):.2f} s",
        target="" if most_s is None else f"≤ {most_s:g} s",
        is_reached=None if most_s is None else median(seconds) <= most_s,
        facts={"seconds": seconds},
    )


async def _start(backends: BenchmarkServers, number: int) -> WorkerStart:
    home = await backends.clear(f"{NAME} {number}")
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_without_workers(backends, home, fleet, command=_COMMAND) as we,
    ):
        await we.submit(1)
        began, began_at = time.monotonic(), time.time()
        we.start()
        await we.ready()
        ready_s = time.monotonic() - began
        await we.hook.wait(we.requests[0], timeout=_PATIENCE_S)
        record = await fleet.record()
    photo_s = record["arrivals"][0]["when"] - began_at - _drawing_s(record)
    return WorkerStart(ready_s=ready_s, photo_s=photo_s)


def _drawing_s(record: Any) -> float:
    return float(sum(each["seconds"] for host in record["hosts"] for each in host["drawings"]))


@dataclass(frozen=True, kw_only=True)
class ProgramRun:
    """How long a fresh Python took for a program, on the clock and of CPU."""

    wall_s: float
    cpu_s: float


def _beyond_libraries(times: int, most_s: float) -> Figure:
    """Import the hook and its libraries alone, in turns, in fresh processes."""
    libraries = _IMPORT_EACH.format(names=_python(_LIBRARIES).split())
    pairs = [(_run_s(_HOOK).cpu_s, _run_s(libraries).cpu_s) for _ in range(2 * times)]
    whole_s, libraries_s = (median(each) for each in zip(*pairs, strict=True))
    own_s = whole_s - libraries_s
    return Figure(
        row=NAME,
        name="import chatflow_hook beyond its libraries, CPU",
        measured=f"{own_s:.3f} s ({whole_s:.2f} s, libraries alone {libraries_s:.2f} s)",
        target=f"≤ {most_s:.2f} s",
        ceiling="0 s",
        is_reached=own_s <= most_s,
        facts={"pairs": pairs},
    )


def _run_s(program: str) -> ProgramRun:
    began, before_s = time.monotonic(), _children_cpu_s()
    _python(program)
    return ProgramRun(wall_s=time.monotonic() - began, cpu_s=_children_cpu_s() - before_s)


def _children_cpu_s() -> float:
    """Return what the children of this process have used that have ended, finer than in ticks."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
