"""`python -m tests.benchmarks.soak`: make thousands of pictures, and say what has grown."""

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
from tests.benchmarks.chaos.store_faults import own_disk
from tests.benchmarks.soak import growth
from tests.benchmarks.soak.run import SoakOutcome, SoakPlan, run

# What is held while so many pictures are made, or the first tenth of them, is not judged.
_WARM_UP = 500


def main() -> int:
    """Run it; returns 0 if nothing is lost and nothing grows, else 1."""
    plan = _plan()
    shutil.rmtree(plan.out, ignore_errors=True)
    plan.out.mkdir(parents=True)
    _print(f"soak of {plan.pictures} pictures with seed {plan.seed}; logs are in {plan.out}")
    with (
        sigterm_exits(),
        (plan.out / "bot.log").open("w") as log,
        PostgresServer() as postgres,
        ValkeyServer() as valkey,
        own_disk(plan.out / "store", size_bytes=plan.store_bytes) as store,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        migrations.upgrade(postgres.url)
        outcome = asyncio.run(run(plan, postgres, valkey, store))
    _print_outcome(plan, outcome)
    return 0 if outcome.is_good else 1


def _plan() -> SoakPlan:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000, help="how many are made")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds, equal faults")
    parser.add_argument("--out", type=Path, help="where logs and samples go")
    arguments = parser.parse_args()
    return SoakPlan(
        seed=arguments.seed,
        pictures=arguments.pictures,
        out=arguments.out or Path("bench-results") / f"soak-{arguments.seed}",
        warm_up=min(_WARM_UP, arguments.pictures // 10),
    )


def _print_outcome(plan: SoakPlan, outcome: SoakOutcome) -> None:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    kinds = len({each.kind for each in outcome.injected})
    _print(
        f"seed {plan.seed}, {machine}, {datetime.now(UTC):%Y-%m-%d %H:%M}: "
        f"{outcome.pictures} pictures in {outcome.seconds:.0f} s "
        f"({outcome.pictures / outcome.seconds:.1f} a second), "
        f"{len(outcome.injected)} faults of {kinds} kinds"
    )
    for kind, why in outcome.left_out.items():
        _print(f"not injected: {kind}, since {why}")
    _print(table.text(outcome.verdict))
    _print(growth.text(outcome.growths))


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (what a person ran this for)


if __name__ == "__main__":
    sys.exit(main())
