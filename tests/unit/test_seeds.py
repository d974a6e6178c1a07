"""Seeds: golden values, since a seed that changed would draw other pictures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.seeds import MAX_SEED, of_dialog


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


@given(st.integers(), st.integers())
def test_a_seed_is_exact_in_json_and_javascript(dialog_id: int, message_count: int) -> None:
    assert 0 <= of_dialog(dialog_id, message_count) <= MAX_SEED == 9_007_199_254_740_991


def test_neighbours_have_other_seeds() -> None:
    seeds = {of_dialog(dialog_id, count) for dialog_id in range(100) for count in range(100)}

    assert len(seeds) == 10_000
