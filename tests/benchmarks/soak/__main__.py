"""`python -m tests.benchmarks.soak`: make thousands of pictures, and say what has grown."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.benchmarks.chaos import table
from tests.benchmarks.chaos.own_servers import machine_and_time, own_servers, say
from tests.benchmarks.soak import growth
from tests.benchmarks.soak.run import SoakOutcome, SoakPlan, run

# What is held while so many pictures are made, or the first tenth of them, is not judged.


def main() -> int:
    """Run it; returns 0 if nothing is lost and nothing grows, else 1."""
    plan = _plan()
    say(f"soak of {plan.pictures} pictures with seed {plan.seed}; logs are in {plan.out}")
    with own_servers(plan.out, store_bytes=plan.store_bytes) as own:
        outcome = asyncio.run(run(plan, own.postgres, own.valkey, own.store))
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
        warm_up=arguments.pictures // 10,
    )


def _print_outcome(plan: SoakPlan, outcome: SoakOutcome) -> None:
    kinds = len({each.kind for each in outcome.injected})
    say(
        f"seed {plan.seed}, {machine_and_time()}: "
        f"{outcome.pictures} pictures in {outcome.seconds:.0f} s "
        f"({outcome.pictures / outcome.seconds:.1f} a second), "
        f"{len(outcome.injected)} faults of {kinds} kinds"
    )
    for kind, why in outcome.left_out.items():
        say(f"not injected: {kind}, since {why}")
    say(table.text(outcome.verdict))
    say(growth.text(outcome.growths))


if __name__ == "__main__":
    sys.exit(main())
