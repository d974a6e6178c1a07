"""The table of faults of a run of chaos."""

from tests.benchmarks.chaos.evidence import InjectedFault
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.table import faults_text


def line_of(kind: ChaosFaultKind, text: str) -> str:
    (line,) = [each for each in text.splitlines() if each.startswith(f"{kind}  ")]
    return line.removeprefix(kind).strip()


def test_each_kind_of_fault_has_a_line() -> None:
    text = faults_text([], {}, {})

    assert [line_of(kind, text) for kind in ChaosFaultKind] == ["0"] * len(ChaosFaultKind)


def test_a_line_counts_its_faults_and_has_the_longest_recovery() -> None:
    injected = [
        InjectedFault(kind=ChaosFaultKind.STORE_FULL, what=what, began=1, ended=2)
        for what in ("a", "b", "c")
    ]

    text = faults_text(injected, {"a": 1.0, "b": 2.5}, {})

    assert line_of(ChaosFaultKind.STORE_FULL, text) == "3, longest recovery 2.5 s"


def test_a_kind_that_this_machine_cannot_have_says_why() -> None:
    text = faults_text([], {}, {ChaosFaultKind.STORE_FULL: "mount: permission denied"})

    assert line_of(ChaosFaultKind.STORE_FULL, text) == "left out: mount: permission denied"
