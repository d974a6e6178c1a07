"""A fault as people write it, and when a script lets it happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.sandbox.comfyui.faults.fault import EVENTS, Fault, FaultError
from imagegen.sandbox.comfyui.faults.kinds import MEANINGS, FaultKind
from imagegen.sandbox.comfyui.faults.script import FaultScript


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault(kind=FaultKind.DROP)),
        ("drop:at=progress,times=2", Fault(kind=FaultKind.DROP, at="progress", times=2)),
        (" drop : at = over , sent = yes ", Fault(kind=FaultKind.DROP, at="over", sent=True)),
        ("restart:every=5,times=ever", Fault(kind=FaultKind.RESTART, every=5, times=None)),
        ("trickle:route=GET /queue", Fault(kind=FaultKind.TRICKLE, route="GET /queue")),
        ("stall:chance=0.1,after=3", Fault(kind=FaultKind.STALL, chance=0.1, after=3)),
    ],
)
def test_a_fault_is_read_from_text(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dorp", "there is no fault 'dorp'; there are drop, deaf"),
        ("", "there is no fault ''"),
        ("drop:seconds=1", "drop takes no seconds: it takes after, at, chance, sent, times"),
        ("drop:colour=red", "'colour=red' is no parameter: it takes after, at"),
        ("drop:times", "'times' is no parameter"),
        ("drop:times=often", "times must be a whole number or ever, not 'often'"),
        ("drop:times=0", "times must be 1 or more, not 0"),
        ("drop:times=1,times=2", "times is given twice"),
        ("drop:after=-1", "after must be 0 or more, not -1"),
        ("drop:chance=2", "chance must be above 0 and at most 1"),
        ("drop:chance=nan", "chance must be above 0 and at most 1"),
        ("drop:at=noon", "at must be one of "),
        ("drop:at=accepted", "at must be one of "),
        ("drop:sent=maybe", "sent must be yes or no, not 'maybe'"),
        ("stall:seconds=inf", "seconds must be 0 or more, not inf"),
        ("broken-view:how=odd", "how must be one of cut, garbage, page"),
        ("restart:at=progress,every=2", "at and every exclude each other"),
    ],
)
def test_what_is_no_fault_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(FaultError) as told:
        Fault.parse(text)

    assert said in str(told.value)
    assert "\n" not in str(told.value)


@given(
    kind=st.sampled_from([FaultKind.DROP, FaultKind.RESTART, FaultKind.FREEZE]),
    times=st.none() | st.integers(1, 9),
    after=st.integers(0, 9),
    chance=st.floats(0.001, 1),
    at=st.none() | st.sampled_from(EVENTS),
    sent=st.booleans(),
)
def test_a_fault_is_written_as_it_is_read(
    kind: FaultKind, times: int | None, after: int, chance: float, at: str | None, *, sent: bool
) -> None:
    fault = Fault(kind=kind, times=times, after=after, chance=chance, at=at, sent=sent)

    assert Fault.parse(str(fault)) == fault


def test_every_kind_says_what_it_does_in_a_line() -> None:
    assert set(MEANINGS) == set(FaultKind)
    assert all(meaning.line.endswith(".") for meaning in MEANINGS.values())


def test_a_kind_may_be_named_by_a_plain_word() -> None:
    assert Fault(kind="drop") == Fault(kind=FaultKind.DROP)  # type: ignore[arg-type]


def test_occasions_pass_then_the_fault_happens_so_often() -> None:
    script = FaultScript()
    script.add([Fault(kind=FaultKind.STALL, after=2, times=2)])

    taken = [script.take(FaultKind.STALL) is not None for _ in range(6)]

    assert taken == [False, False, True, True, False, False]
    assert not script.expects(FaultKind.STALL)


def test_the_first_fault_that_suits_takes_the_occasion() -> None:
    una, any_file = (
        Fault(kind=FaultKind.REFUSED_MODEL, file="una"),
        Fault(kind=FaultKind.REFUSED_MODEL),
    )
    script = FaultScript()
    script.add([una, any_file])

    taken = script.take(FaultKind.REFUSED_MODEL, matches=lambda fault: fault.file in {None, "ash"})

    assert taken == any_file
    assert script.waiting == [una]


def test_a_fault_that_lasts_goes_on_until_its_seconds_are_over() -> None:
    now = 100.0
    script = FaultScript(clock=lambda: now)
    script.add([Fault(kind=FaultKind.UNAVAILABLE, seconds=5)])

    assert script.take(FaultKind.UNAVAILABLE)
    now = 104.9
    assert script.take(FaultKind.UNAVAILABLE)
    now = 105.1
    assert script.take(FaultKind.UNAVAILABLE) is None
    assert len(script.troubles) == 1


def test_cleared_faults_do_not_happen_and_those_that_have_are_kept() -> None:
    script = FaultScript()
    script.add([Fault(kind=FaultKind.STALL, times=None)])
    script.take(FaultKind.STALL)

    script.clear()

    assert script.take(FaultKind.STALL) is None
    assert len(script.troubles) == 1
