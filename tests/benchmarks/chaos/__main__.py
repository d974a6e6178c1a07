"""`python -m tests.benchmarks.chaos`: break everything for some minutes, and say what came of it."""

import argparse
import asyncio
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog

from imagegen.db import migrations
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.signals import sigterm_exits
from tests.benchmarks.chaos import table
from tests.benchmarks.chaos.bot import Pace
from tests.benchmarks.chaos.run import ChaosOutcome, ChaosPlan, run
from tests.benchmarks.chaos.store_faults import own_disk


def main() -> int:
    """Run it; returns 0 if there is no violation, else 1."""
    plan = _plan()
    shutil.rmtree(plan.out, ignore_errors=True)
    plan.out.mkdir(parents=True)
    _print(f"chaos for {plan.seconds:g} s with seed {plan.seed}; logs are in {plan.out}")
    with (
        sigterm_exits(),
        (plan.out / "bot.log").open("w") as log,
        PostgresServer() as postgres,
        ValkeyServer() as valkey,
        own_disk(plan.out / "store") as store,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        migrations.upgrade(postgres.url)
        outcome = asyncio.run(run(plan, postgres, valkey, store))
    _print_outcome(plan, outcome)
    return 0 if outcome.verdict.is_good else 1


def _plan() -> ChaosPlan:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=240.0, help="for how long faults are injected"
    )
    parser.add_argument("--seed", type=int, default=1, help="equal seeds, equal faults")
    parser.add_argument("--dialogs", type=int, default=36, help="how many people write")
    parser.add_argument("--out", type=Path, help="where logs and stories go")
    arguments = parser.parse_args()
    return ChaosPlan(
        seed=arguments.seed,
        seconds=arguments.seconds,
        out=arguments.out or Path("bench-results") / f"chaos-{arguments.seed}",
        pace=Pace(dialogs=arguments.dialogs, between=(2.0, 6.0)),
    )


def _print_outcome(plan: ChaosPlan, outcome: ChaosOutcome) -> None:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    _print(
        f"seed {plan.seed}, {plan.seconds:g} s, {machine}, {datetime.now(UTC):%Y-%m-%d %H:%M}: "
        f"{len(outcome.injected)} faults, {outcome.turns} turns ({outcome.turns_failed} not committed), "
        f"settled after {outcome.settled_s:.1f} s"
    )
    _print(table.faults_text(outcome.injected, outcome.verdict.recoveries, outcome.left_out))
    _print(table.text(outcome.verdict))
    if not outcome.verdict.is_good:
        _print(f"the history of each violation is in {plan.out / 'stories'}")


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (what a person ran this for)


if __name__ == "__main__":
    sys.exit(main())
