"""Seeds: golden values, since a seed that changed would draw other pictures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.seeds import at_random, of_dialog, of_story
from imagegen.workflows.library import MAX_SEED


@pytest.mark.parametrize(
    ("dialog_id", "message_count", "seed"),
    [
        (0, 0, 5126517397526721),
        (1, 3, 5329987766252739),
        (1, 4, 3008314253368073),
        (42, 5, 7588260170781135),
        (-7, 3, 4660837011271326),
        (2**63 - 1, 10**6, 912275796668890),
    ],
)
def test_a_seed_is_the_same_for_ever(dialog_id: int, message_count: int, seed: int) -> None:
    assert of_dialog(dialog_id, message_count) == seed


def test_a_variation_and_a_story_have_seeds_that_are_the_same_for_ever() -> None:
    assert of_dialog(1, 3, 1) == 4937697394650794
    assert of_story("lina", "a week by the sea") == 4249407299863299
    assert of_story("lina", "a week by the sea", 2) == 7000669390637305
    assert of_story("лина", "море") == 2126949539212434


def test_personas_and_stories_do_not_run_into_each_other() -> None:
    assert of_story("ab", "c") != of_story("a", "bc")
    assert of_story("a", "b:c") != of_story("a:b", "c")


def test_a_seed_at_random_is_in_bounds_and_another_each_time() -> None:
    chance = random.Random(1)
    drawn = [at_random(chance) for _ in range(1000)]

    assert len(set(drawn)) == 1000
    assert all(0 <= seed <= MAX_SEED for seed in drawn)


@given(st.integers(), st.integers())
def test_a_seed_is_exact_in_json_and_javascript(dialog_id: int, message_count: int) -> None:
    assert 0 <= of_dialog(dialog_id, message_count) <= MAX_SEED == 9_007_199_254_740_991


def test_neighbours_have_other_seeds() -> None:
    seeds = {of_dialog(dialog_id, count) for dialog_id in range(100) for count in range(100)}

    assert len(seeds) == 10_000
