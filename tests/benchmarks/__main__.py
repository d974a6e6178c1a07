"""`python -m tests.benchmarks`: measure one row after the other, and print one table."""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from imagegen.sandbox.signals import sigterm_exits
from tests.benchmarks.load import servers
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import calibration, process_usage, table
from tests.benchmarks.report.calibration import Calibration
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.registry import ROWS, Row

_OUT = Path("bench-results")
# No row takes half as long; one that hangs is not to keep the others from being measured.
_ROW_WITHIN_S = 600.0


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """What a row has found, and how long it took."""

    name: str
    figures: Sequence[Figure]
    took_s: float


def main() -> int:
    """Run what was asked for; 1 if a target was missed or a row has failed."""
    given = _options()
    _OUT.mkdir(exist_ok=True)
    began = time.monotonic()
    with (
        sigterm_exits(),
        (_OUT / "hook.log").open("w") as log,
        servers.running_backends(_OUT / "logs", is_quick=given.quick) as here,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        rows = [_measured(name, here) for name in given.only or ROWS]
    figures = [figure for row in rows for figure in row.figures]
    took_min = (time.monotonic() - began) / 60
    speed = calibration.measure()
    _say(f"\n{_machine(speed, is_quick=given.quick)}\n{_assumed(speed)}\n\n{table.text(figures)}\n")
    _say(f"{took_min:.1f} minutes: " + ", ".join(f"{row.name} {row.took_s:.0f} s" for row in rows))
    return int(any(figure.is_reached is False for figure in figures))


def _measured(name: str, backends: BenchmarkServers) -> MeasuredRow:
    here = replace(backends, calibration=calibration.measure())
    began, before = time.monotonic(), _cpu_s(here)
    figures = asyncio.run(figures_of(name, ROWS[name], here))
    took_s = time.monotonic() - began
    cpu_s = {process: seconds - before[process] for process, seconds in _cpu_s(here).items()}
    of_each = ", ".join(f"{process} {seconds:.1f} s" for process, seconds in cpu_s.items())
    loop = f"ten million additions {here.calibration.loop_s:.2f} s"
    _say(f"{name}: {took_s:.0f} s; {loop}; CPU: {of_each}")
    _say(table.text(figures))
    row = MeasuredRow(name=name, figures=figures, took_s=took_s)
    _keep(row, here, cpu_s=cpu_s)
    return row


async def figures_of(name: str, row: Row, backends: BenchmarkServers) -> list[Figure]:
    """Return the figures of a row; one that fails adds the reason to those that it has measured."""
    figures: list[Figure] = []
    try:
        async with asyncio.timeout(_ROW_WITHIN_S), aclosing(row(backends)) as measured:
            async for figure in measured:
                figures.append(figure)  # noqa: PERF401 (what was measured before a failure is kept)
    except Exception as error:  # noqa: BLE001 (whatever it is, the other rows are measured)
        why = " ".join(f"{type(error).__name__}: {error}".split())
        figures.append(Figure(row=name, name="this row failed", measured=why, is_reached=False))
    return figures


def _cpu_s(here: BenchmarkServers) -> dict[str, float]:
    """Return the CPU seconds of all processes until now."""
    servers_s = {name: process_usage.cpu_s(pid) for name, pid in here.pids.items()}
    return {
        **servers_s,
        "this process": process_usage.own_cpu_s(),
        "workers and hosts": process_usage.children_cpu_s(),
    }


def _keep(row: MeasuredRow, here: BenchmarkServers, *, cpu_s: Mapping[str, float]) -> None:
    told = {
        "machine": _machine(here.calibration, is_quick=here.is_quick),
        "seconds": row.took_s,
        "cpu_seconds": cpu_s,
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in row.figures],
    }
    (_OUT / f"{row.name}.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


def _machine(speed: Calibration, *, is_quick: bool) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()}, Python {platform.python_version()}{', --quick' * is_quick}; "
        f"ten million additions take {speed.loop_s:.2f} s"
    )


def _assumed(speed: Calibration) -> str:
    """Say what is assumed of targets in CPU time."""
    return (
        "Targets in CPU time were set where ten million additions take "
        f"{calibration.REFERENCE_S:g} s. Where they take longer, just before the row, its targets "
        "grow in proportion.\nWhere they take less the targets stay: between two such machines an "
        "import became faster by 14 % and the loop by 71 %.\n"
        f"In strict proportion to the loop they would be {speed.ratio:.2f} times as high here."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, rougher figures")
    parser.add_argument("--only", action="append", choices=list(ROWS), help="one row; repeatable")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (what a person ran this for)


if __name__ == "__main__":
    sys.exit(main())
