"""Which host draws the next prompt."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy.choice import Candidate, choose
from imagegen.comfy.estimate import Estimate

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from("abcdef"),
        is_up=st.booleans(),
        is_free=st.booleans(),
        taken=st.integers(0, 2),
        has_models=st.booleans(),
        seconds=st.none() | st.floats(0.1, 100),
    ),
    max_size=5,
    unique_by=lambda each: each.name,
)


def host(name: str, **facts: Any) -> Candidate:
    return Candidate(**{"name": name, "is_up": True, "is_free": True, "taken": 0, **facts})


def test_an_idle_host_comes_before_one_that_has_the_models() -> None:
    assert choose([host("a", taken=1, has_models=True), host("b")]) == "b"


def test_among_idle_hosts_the_models_come_before_speed() -> None:
    assert choose([host("a", seconds=1), host("b", seconds=9, has_models=True)]) == "b"


def test_among_hosts_without_the_models_the_faster_one_comes_first() -> None:
    assert choose([host("a", seconds=9), host("b", seconds=1)]) == "b"


def test_a_host_that_may_be_down_is_the_last_choice() -> None:
    assert choose([host("a", is_up=False, has_models=True), host("b", taken=1)]) == "b"


def test_a_host_that_may_be_down_is_better_than_none() -> None:
    assert choose([host("a", is_up=False), host("b", is_free=False)]) == "a"


def test_nobody_queues_on_a_slow_host_while_a_fast_one_is_sooner_done() -> None:
    slow, fast = host("a", taken=1, seconds=60), host("b", taken=2, is_free=False, seconds=5)

    assert choose([slow, fast]) is None


def test_an_idle_slow_host_draws_all_the_same() -> None:
    assert choose([host("a", seconds=60), host("b", taken=2, is_free=False, seconds=5)]) == "a"


def test_hosts_of_about_the_same_speed_are_stacked() -> None:
    one, other = host("a", taken=1, seconds=6), host("b", taken=2, is_free=False, seconds=5)

    assert choose([one, other]) == "a"


def test_a_fast_host_that_may_be_down_is_not_waited_for() -> None:
    slow, fast = host("a", taken=1, seconds=60), host("b", is_up=False, is_free=False, seconds=1)

    assert choose([slow, fast]) == "a"


def test_the_host_that_just_failed_is_left_alone_even_if_the_other_has_a_prompt() -> None:
    assert choose([host("a"), host("b", taken=1)], rather_not="a") == "b"


def test_the_host_that_just_failed_draws_if_no_other_is_free() -> None:
    assert choose([host("a"), host("b", taken=2, is_free=False)], rather_not="a") == "a"


@given(CANDIDATES)
def test_whoever_is_idle_and_up_is_never_left_idle(candidates: list[Candidate]) -> None:
    idle = {each.name for each in candidates if each.is_up and each.is_free and not each.taken}

    chosen = choose(candidates)

    assert not idle or chosen in idle


@given(CANDIDATES)
def test_the_choice_is_free(candidates: list[Candidate]) -> None:
    chosen = choose(candidates)

    assert chosen is None or any(each.name == chosen and each.is_free for each in candidates)


def test_an_estimate_moves_towards_what_was_measured_lately() -> None:
    estimate = Estimate()
    for _ in range(20):
        estimate.note("ash", 10.0)
    before = estimate.seconds("ash")
    for _ in range(20):
        estimate.note("ash", 20.0)

    assert before == 10.0
    assert 19.0 < (estimate.seconds("ash") or 0) < 20.0


def test_a_model_set_that_is_new_to_a_host_is_estimated_from_the_others() -> None:
    estimate = Estimate()
    estimate.note("ash", 10.0)

    assert (estimate.seconds("lina"), estimate.seconds()) == (10.0, 10.0)
    assert Estimate().seconds("lina") is None
