"""The table that a run prints."""

from tests.benchmarks.chaos.verdict import Verdict
from tests.benchmarks.chaos.violation import ViolationKind


def table(verdict: Verdict) -> list[tuple[str, str]]:
    """Return its lines: what, and how much."""
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(verdict.ended.items()))
    after, longest = max(
        verdict.recoveries.items(), key=lambda each: each[1], default=("no blow", 0.0)
    )
    return [
        ("requests", str(verdict.requests)),
        ("delivered", str(verdict.delivered)),
        ("ended with a reason", f"{sum(verdict.ended.values())}{reasons and f': {reasons}'}"),
        ("lost", str(verdict.count(ViolationKind.LOST))),
        (
            "delivered twice",
            f"{verdict.sent_twice}, {verdict.sent_twice_after_unknown} after an unknown send",
        ),
        (
            "drawn twice",
            f"{verdict.drawn_twice}, {verdict.drawn_twice_excused} since a host was out of reach",
        ),
        ("ended otherwise than the chat shows", str(verdict.count(ViolationKind.CONTRADICTED))),
        ("watermarks wrong", str(verdict.count(ViolationKind.WATERMARK))),
        ("spacing violations", str(verdict.count(ViolationKind.SPACING))),
        ("faults of ours", str(verdict.count(ViolationKind.OUR_FAULT))),
        ("longest recovery", f"{longest:.1f} s, after {after}"),
        ("slowest request", f"{verdict.slowest_s:.1f} s"),
    ]


def text(verdict: Verdict) -> str:
    """Return the table in columns, with the violations below it."""
    lines = table(verdict)
    wide = max(len(name) for name, _ in lines)
    columns = [f"{name.ljust(wide)}  {value}" for name, value in lines]
    violations = [
        f"! {violation.kind}: {violation.why}{''.join(f' [{each}]' for each in violation.requests)}"
        for violation in verdict.violations
    ]
    return "\n".join([*columns, *violations])
