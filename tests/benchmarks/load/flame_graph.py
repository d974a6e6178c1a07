"""Flame graph: where the CPU of a worker goes that makes pictures, as an SVG.

`python -m tests.benchmarks.load.flame_graph FILE.svg`; `--large` for pictures of 1.3 MB. It needs
py-spy (`pip install py-spy`), which looks into the worker from outside, and the right to do so.
"""

import argparse
import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from imagegen.sandbox.signals import sigterm_exits
from tests.benchmarks.load import our_worker, servers
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.process_usage import Meter

_WARM_UP = 20
_BATCH = 20
_PATIENCE_S = 300.0
_SAMPLES_PER_S = 200
# How long py-spy takes at most to write what it has seen.
_WRITE_WITHIN_S = 60


def main() -> None:
    """Draw the graph, and say how much CPU a picture took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--large", action="store_true", help="PNGs of 1.3 MB")
    parser.add_argument("--pictures", type=int, default=300)
    given = parser.parse_args()
    out = Path("bench-results")
    out.mkdir(exist_ok=True)
    with (
        sigterm_exits(),
        (out / "hook.log").open("w") as log,
        servers.running_backends(out / "logs", is_quick=True) as backends,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        cpu_ms = asyncio.run(_draw(backends, given))
    print(f"{cpu_ms:.1f} ms of the worker's CPU for each picture")  # noqa: T201 (what a person ran this for)


async def _draw(backends: BenchmarkServers, given: argparse.Namespace) -> float:
    pictures: int = given.pictures
    home = await backends.clear("flame graph")
    options = FleetOptions(hosts=4, drawing_s=0.3, jitter=0.2, large=given.large)
    async with (
        open_fleet(home, options) as fleet,
        our_worker.start_with_workers(backends, home, fleet) as we,
    ):
        await we.submit(_WARM_UP)
        await all_ended(we, _WARM_UP, patience_s=_PATIENCE_S)
        meter = Meter([we.workers[0].pid])
        with _watching(we.workers[0].pid, given.file):
            # Never many at once: their first steps would all be in the first second.
            while len(we.requests) < _WARM_UP + pictures:
                await we.submit(_BATCH)
                await all_ended(we, len(we.requests) - _BATCH // 2, patience_s=_PATIENCE_S)
            await all_ended(we, len(we.requests), patience_s=_PATIENCE_S)
            cpu_s = meter.read().seconds
    return 1000 * cpu_s / (len(we.requests) - _WARM_UP)


@contextmanager
def _watching(pid: int, file: Path) -> Iterator[None]:
    """Let py-spy watch a process during the block; its graph is written after it."""
    command = ["py-spy", "record", "--pid", str(pid), "--output", str(file)]
    command += ["--rate", str(_SAMPLES_PER_S), "--duration", str(int(_PATIENCE_S))]
    # By function, and only what holds Python's lock: it cannot tell which other threads wait.
    command += ["--function", "--gil"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as spy:
        yield
        spy.send_signal(signal.SIGINT)
        spy.wait(_WRITE_WITHIN_S)


if __name__ == "__main__":
    main()
