"""A host's condition, on a clock that the test moves."""

from hypothesis import given
from hypothesis import strategies as st

from imagegen.pool import health
from imagegen.pool.health import Condition, Health

EVENTS = st.lists(st.sampled_from(["draw", "answer", "probe", "loss", "silence", "bad"]))


def test_a_host_is_up_until_it_fails() -> None:
    assert Health().condition is Condition.UP
    assert Health().usable_slots(2) == 2


def test_one_lost_draw_makes_a_suspect_that_rests_for_a_second() -> None:
    lost = health.after_loss(Health(), now=100, jitter=0)

    assert lost.condition is Condition.SUSPECT
    assert lost.usable_slots(2) == 0
    assert (lost.is_resting, lost.rests_until) == (True, 101)


def test_a_second_prompt_of_the_same_outage_changes_nothing() -> None:
    lost = health.after_loss(Health(), now=100, jitter=0)

    assert health.after_loss(lost, now=100.5, jitter=1) == lost


def test_three_failures_take_a_host_down() -> None:
    down = health.after_loss(Health(), now=0, jitter=0)
    for _ in range(2):
        down = health.after_silence(down, now=0, jitter=0)

    assert down.condition is Condition.DOWN


def test_probes_of_a_dead_host_come_every_few_seconds_for_ever() -> None:
    dead, rests = Health(), []
    for _ in range(6):
        dead = health.after_silence(dead, now=0, jitter=0)
        rests.append(dead.rests_until)

    assert rests == [1, 2, 4, 4, 4, 4]


def test_jitter_makes_a_rest_half_as_long_again_at_most() -> None:
    assert health.after_loss(Health(), now=0, jitter=1).rests_until == 1.5


def test_a_host_that_lost_a_draw_gets_one_prompt_once_it_answers() -> None:
    lost = health.after_loss(Health(), now=0, jitter=0)

    answering = health.after_probe(lost)

    assert (answering.usable_slots(2), answering.condition) == (1, Condition.SUSPECT)
    assert health.after_draw() == Health()


def test_a_host_that_fails_what_it_draws_rests_although_it_answers() -> None:
    aside = health.after_bad_draws(Health(), now=0, jitter=0)

    assert aside.condition is Condition.ASIDE
    assert aside.rests_until == 300
    assert health.after_probe(aside).condition is Condition.ASIDE
    assert health.after_probe(aside).usable_slots(2) == 1


@given(EVENTS)
def test_a_resting_host_is_lent_nothing_and_one_that_is_not_up_one_slot(events: list[str]) -> None:
    state = Health()
    for now, event in enumerate(events):
        state = _after(state, event, float(now))

        expected = 2 if state.is_up else 0 if state.is_resting else 1
        assert state.usable_slots(2) == expected
        assert not (state.is_up and state.is_resting)


def _after(state: Health, event: str, now: float) -> Health:
    match event:
        case "draw":
            return health.after_draw()
        case "answer":
            return health.after_prompt_answer(state)
        case "probe":
            return health.after_probe(state)
        case "loss":
            return health.after_loss(state, now=now, jitter=0)
        case "silence":
            return health.after_silence(state, now=now, jitter=0)
        case _:
            return health.after_bad_draws(state, now=now, jitter=0)
