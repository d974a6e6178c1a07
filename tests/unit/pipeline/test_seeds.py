"""Seeds have golden values, since a seed that changed would draw another image."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.pipeline.image_spec import dialog_seed, random_seed, story_seed
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
    assert dialog_seed(dialog_id, message_count) == seed


def test_a_variation_and_a_story_have_seeds_that_are_the_same_for_ever() -> None:
    assert dialog_seed(1, 3, 1) == 4937697394650794
    assert story_seed("lina", "a week by the sea") == 4249407299863299
    assert story_seed("lina", "a week by the sea", 2) == 7000669390637305
    assert story_seed("лина", "море") == 2126949539212434


def test_personas_and_stories_do_not_run_into_each_other() -> None:
    assert story_seed("ab", "c") != story_seed("a", "bc")
    assert story_seed("a", "b:c") != story_seed("a:b", "c")


def test_a_seed_at_random_is_in_bounds_and_another_each_time() -> None:
    chance = random.Random(1)
    drawn = [random_seed(chance) for _ in range(1000)]

    assert len(set(drawn)) == 1000
    assert all(0 <= seed <= MAX_SEED for seed in drawn)


@given(st.integers(), st.integers())
def test_a_seed_is_exact_in_json_and_javascript(dialog_id: int, message_count: int) -> None:
    assert 0 <= dialog_seed(dialog_id, message_count) <= MAX_SEED == 9_007_199_254_740_991


def test_neighbours_have_other_seeds() -> None:
    seeds = {dialog_seed(dialog_id, count) for dialog_id in range(100) for count in range(100)}

    assert len(seeds) == 10_000
