"""`python -m tests.benchmarks`: measure one row after the other, and print one table."""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog

from imagegen.sandbox.signals import sigterm_exits
from tests.benchmarks.load import servers
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import calibration, process_usage, table
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.registry import ROWS

_OUT = Path("bench-results")


def main() -> int:
    """Run what was asked for; 1 if a target was missed."""
    given = _options()
    _OUT.mkdir(exist_ok=True)
    figures: list[Figure] = []
    began = time.monotonic()
    with (
        sigterm_exits(),
        (_OUT / "hook.log").open("w") as log,
        servers.running_backends(_OUT / "logs", is_quick=given.quick) as here,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        for name in given.only or ROWS:
            figures += _measured(name, here)
    took_min = (time.monotonic() - began) / 60
    _say(f"\n{_machine(is_quick=given.quick)}, {took_min:.0f} minutes\n\n{table.text(figures)}")
    return int(any(figure.is_reached is False for figure in figures))


def _measured(name: str, here: BenchmarkServers) -> list[Figure]:
    began, before = time.monotonic(), _cpu_s(here)
    figures = asyncio.run(_row(name, here))
    took_s = time.monotonic() - began
    cpu_s = {process: seconds - before[process] for process, seconds in _cpu_s(here).items()}
    of_each = ", ".join(f"{process} {seconds:.1f} s" for process, seconds in cpu_s.items())
    _say(f"{name}: {took_s:.0f} s; CPU: {of_each}")
    _say(table.text(figures))
    _keep(name, figures, took_s=took_s, cpu_s=cpu_s, is_quick=here.is_quick)
    return figures


def _cpu_s(here: BenchmarkServers) -> dict[str, float]:
    """Return the CPU seconds of all processes until now."""
    servers_s = {name: process_usage.cpu_s(pid) for name, pid in here.pids.items()}
    return {
        **servers_s,
        "this process": process_usage.own_cpu_s(),
        "workers and hosts": process_usage.children_cpu_s(),
    }


async def _row(name: str, here: BenchmarkServers) -> list[Figure]:
    return await ROWS[name](here)


def _keep(
    name: str,
    figures: Iterable[Figure],
    *,
    took_s: float,
    cpu_s: Mapping[str, float],
    is_quick: bool,
) -> None:
    told = {
        "machine": _machine(is_quick=is_quick),
        "seconds": took_s,
        "cpu_seconds": cpu_s,
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }
    (_OUT / f"{name}.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


def _machine(*, is_quick: bool) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()}, Python {platform.python_version()}{', --quick' * is_quick}; "
        f"ten million additions take {calibration.loop_s():.2f} s"
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
