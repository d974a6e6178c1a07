"""The tables that a run prints."""

from collections.abc import Iterable, Mapping

from tests.benchmarks.chaos.evidence import InjectedFault
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.verdict import Verdict
from tests.benchmarks.chaos.violation import ViolationKind


def table(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the lines of the verdict: what, and how much."""
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(verdict.ended.items()))
    after, longest = max(
        verdict.recoveries.items(), key=lambda each: each[1], default=("no fault", 0.0)
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
        ("no picture after all faults", str(verdict.count(ViolationKind.NOT_RECOVERED))),
        ("longest recovery", f"{longest:.1f} s, after {after}"),
        ("slowest request", f"{verdict.slowest_s:.1f} s"),
    ]


def text(verdict: Verdict) -> str:
    """Return the verdict in columns, with the violations below it."""
    violations = [
        f"! {violation.kind}: {violation.why}{''.join(f' [{each}]' for each in violation.requests)}"
        for violation in verdict.violations
    ]
    return "\n".join([_columns(table(verdict)), *violations])


def faults_text(
    injected: Iterable[InjectedFault],
    recoveries: Mapping[str, float],
    left_out: Mapping[ChaosFaultKind, str],
) -> str:
    """Return a line for each kind of fault: how often, and the longest recovery from it."""
    found: dict[str, list[float | None]] = {kind: [] for kind in ChaosFaultKind}
    for each in injected:
        found[each.kind].append(recoveries.get(each.what))
    return _columns(
        (kind, f"left out: {left_out[kind]}" if kind in left_out else _frequency(found[kind]))
        for kind in ChaosFaultKind
    )


def _frequency(recoveries: list[float | None]) -> str:
    known = [seconds for seconds in recoveries if seconds is not None]
    longest = f", longest recovery {max(known):.1f} s" if known else ""
    return f"{len(recoveries)}{longest}"


def _columns(lines: Iterable[tuple[str, str]]) -> str:
    rows = list(lines)
    wide = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(wide)}  {value}" for name, value in rows)
