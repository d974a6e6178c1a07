"""Which host draws the next prompt."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagegen.pool.placement import (
    Candidate,
    Estimate,
    begins_much_sooner,
    choose_host,
    sooner_host,
)

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from("abcdef"),
        is_up=st.booleans(),
        is_free=st.booleans(),
        taken=st.integers(0, 2),
        left_s=st.floats(0.1, 100),
        change_s=st.floats(0, 10),
        has_models=st.booleans(),
        seconds=st.none() | st.floats(0.1, 100),
    ),
    max_size=5,
    unique_by=lambda each: each.name,
)


def host(name: str, **facts: Any) -> Candidate:
    taken, seconds = facts.get("taken", 0), facts.get("seconds")
    left_s = taken * (float("inf") if seconds is None else seconds) if taken else 0.0
    fields = {"name": name, "is_up": True, "is_free": True, "taken": 0, "left_s": left_s, **facts}
    return Candidate(**fields)


def test_an_idle_host_comes_before_one_that_has_the_models() -> None:
    assert choose_host([host("a", taken=1, has_models=True), host("b")]) == "b"


def test_among_idle_hosts_the_models_come_before_speed() -> None:
    assert choose_host([host("a", seconds=1), host("b", seconds=9, has_models=True)]) == "b"


def test_among_hosts_without_the_models_the_faster_one_comes_first() -> None:
    assert choose_host([host("a", seconds=9), host("b", seconds=1)]) == "b"


def test_a_host_that_may_be_down_is_the_last_choice() -> None:
    assert choose_host([host("a", is_up=False, has_models=True), host("b", taken=1)]) == "b"


def test_a_host_that_may_be_down_is_better_than_none() -> None:
    assert choose_host([host("a", is_up=False), host("b", is_free=False)]) == "a"


def test_nobody_queues_on_a_slow_host_while_a_fast_one_is_sooner_done() -> None:
    slow, fast = host("a", taken=1, seconds=60), host("b", taken=2, is_free=False, seconds=5)

    assert choose_host([slow, fast]) is None


def test_an_idle_slow_host_draws_all_the_same() -> None:
    assert choose_host([host("a", seconds=60), host("b", taken=2, is_free=False, seconds=5)]) == "a"


def test_hosts_of_about_the_same_speed_are_stacked() -> None:
    one, other = host("a", taken=1, seconds=6), host("b", taken=2, is_free=False, seconds=5)

    assert choose_host([one, other]) == "a"


def test_a_fast_host_that_may_be_down_is_not_waited_for() -> None:
    slow, fast = host("a", taken=1, seconds=60), host("b", is_up=False, is_free=False, seconds=1)

    assert choose_host([slow, fast]) == "a"


def test_the_host_that_just_failed_is_left_alone_even_if_the_other_has_a_prompt() -> None:
    assert choose_host([host("a"), host("b", taken=1)], avoid_host="a") == "b"


def test_the_host_that_just_failed_draws_if_no_other_is_free() -> None:
    assert choose_host([host("a"), host("b", taken=2, is_free=False)], avoid_host="a") == "a"


def test_a_change_of_models_counts_half_as_much_again_as_it_takes() -> None:
    idle = host("a", change_s=2.0, seconds=1.0)
    with_models = host("b", taken=1, has_models=True, seconds=1.0)

    assert choose_host([idle, replace(with_models, left_s=2.9)]) == "b"
    assert choose_host([idle, replace(with_models, left_s=3.1)]) == "a"


def test_a_short_line_before_the_models_is_better_than_loading_them() -> None:
    idle = host("a", change_s=2.0, seconds=1.0)
    with_models = host("b", taken=1, left_s=1.5, has_models=True, seconds=1.0)

    assert choose_host([idle, with_models]) == "b"
    assert choose_host([idle, replace(with_models, left_s=3.5)]) == "a"


def test_one_waits_for_a_full_host_that_has_the_models_if_it_is_sooner_ready() -> None:
    idle = host("a", change_s=2.0, seconds=1.0)
    full = host("b", taken=2, left_s=1.5, is_free=False, has_models=True, seconds=1.0)

    assert choose_host([idle, full]) is None
    assert choose_host([idle, replace(full, left_s=3.5)]) == "a"
    assert choose_host([idle, replace(full, is_up=False)]) == "a"
    assert choose_host([idle, full], avoid_host="b") == "a"


@given(CANDIDATES)
def test_whoever_is_free_is_held_back_only_for_models_that_are_sooner_in_place(
    candidates: list[Candidate],
) -> None:
    idle = [each for each in candidates if each.is_up and each.is_free and not each.taken]
    sooner = [
        each
        for each in candidates
        if each.is_up and each.has_models and any(each.cost_s < one.cost_s for one in idle)
    ]

    assert not idle or sooner or choose_host(candidates) is not None


@given(CANDIDATES)
def test_the_choice_is_free(candidates: list[Candidate]) -> None:
    chosen = choose_host(candidates)

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


def test_a_change_of_models_costs_what_drawings_after_one_took_longer() -> None:
    estimate = Estimate()
    estimate.note("ash", 10.0, is_change=False)
    assert estimate.change_s is None

    estimate.note("ash", 12.5, is_change=True)

    assert estimate.change_s == 2.5
    assert (estimate.seconds("ash"), estimate.seconds("ash", is_change=True)) == (10.0, 12.5)


def test_prompts_of_others_count_like_ours() -> None:
    shared = host("a", others=3, left_s=30.0, seconds=10.0)

    assert choose_host([shared, host("b", taken=1, seconds=10.0)]) == "b"
    assert choose_host([shared, host("b", taken=1, left_s=40.0, seconds=10.0)]) == "a"


def test_one_waits_for_a_full_host_rather_than_behind_many_prompts_of_others() -> None:
    shared = host("a", others=20, left_s=200.0, seconds=10.0)

    assert choose_host([shared, host("b", taken=2, is_free=False, seconds=10.0)]) is None


def test_with_no_drawing_known_the_host_with_fewer_prompts_comes_first() -> None:
    unknown_s = float("inf")

    assert (
        choose_host([host("a", others=9, left_s=unknown_s), host("b", taken=1, left_s=unknown_s)])
        == "b"
    )


def test_a_host_without_enough_memory_is_the_last_choice_but_one() -> None:
    full = host("a", is_short_of_memory=True, has_models=True)

    assert choose_host([full, host("b", taken=1)]) == "b"
    assert choose_host([full]) == "a"


def test_the_host_that_loads_the_models_already_is_preferred() -> None:
    loading, idle = host("a", taken=1, left_s=60.0), host("b")

    assert choose_host([loading, idle], prefer_host="a") == "a"
    assert choose_host([replace(loading, is_free=False), idle], prefer_host="a") == "b"
    assert choose_host([replace(loading, is_up=False), idle], prefer_host="a") == "b"


def test_a_prompt_that_waits_moves_to_a_free_host_that_begins_much_sooner() -> None:
    idle = host("a", change_s=5.0)

    assert sooner_host([idle], wait_s=20.0) == "a"
    assert sooner_host([idle], wait_s=7.0) is None
    assert sooner_host([host("a", has_models=True)], wait_s=1.9) is None
    assert sooner_host([replace(idle, is_free=False)], wait_s=20.0) is None
    assert sooner_host([replace(idle, is_up=False)], wait_s=20.0) is None
    assert sooner_host([replace(idle, is_short_of_memory=True)], wait_s=20.0) is None
    assert sooner_host([], wait_s=20.0) is None


def test_of_two_hosts_a_prompt_moves_to_the_one_that_begins_first() -> None:
    hosts = [host("a", change_s=5.0), host("b", has_models=True)]

    assert sooner_host(hosts, wait_s=float("inf")) == "b"


def test_a_host_of_unknown_length_is_no_reason_to_move() -> None:
    unknown = host("a", others=3, left_s=float("inf"))

    assert not begins_much_sooner(unknown, wait_s=float("inf"))


def test_a_host_that_answers_again_is_chosen_if_that_saves_more_than_its_loss_may_cost() -> None:
    shared = host("a", others=20, left_s=200.0)
    back = host("b", is_up=False, losses=1)

    assert choose_host([shared, back]) == "b"
    assert choose_host([replace(shared, others=1, left_s=10.0), back]) == "a"
    assert choose_host([shared, replace(back, losses=5)]) == "a"


def test_a_prompt_that_waits_long_moves_to_a_host_that_answers_again() -> None:
    back = host("b", is_up=False, losses=1)

    assert sooner_host([back], wait_s=100.0) == "b"
    assert sooner_host([back], wait_s=20.0) is None
    assert sooner_host([replace(back, losses=0)], wait_s=100.0) is None
