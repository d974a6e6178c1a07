"""`python -m tests.benchmarks.chaos`: break everything for some minutes, and say what came of it."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.benchmarks.chaos import table
from tests.benchmarks.chaos.bot import Pace
from tests.benchmarks.chaos.own_servers import machine_and_time, own_servers, say
from tests.benchmarks.chaos.run import ChaosOutcome, ChaosPlan, run


def main() -> int:
    """Run it; returns 0 if there is no violation, else 1."""
    plan = _plan()
    say(f"chaos for {plan.seconds:g} s with seed {plan.seed}; logs are in {plan.out}")
    with own_servers(plan.out) as own:
        outcome = asyncio.run(run(plan, own.postgres, own.valkey, own.store))
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
    say(
        f"seed {plan.seed}, {plan.seconds:g} s, {machine_and_time()}: "
        f"{len(outcome.injected)} faults, {outcome.turns} turns ({outcome.turns_failed} not committed), "
        f"settled after {outcome.settled_s:.1f} s"
    )
    say(table.faults_text(outcome.injected, outcome.verdict.recoveries, outcome.left_out))
    say(table.text(outcome.verdict))
    if not outcome.verdict.is_good:
        say(f"the history of each violation is in {plan.out / 'stories'}")


if __name__ == "__main__":
    sys.exit(main())
