"""The effective rating, for every combination of its five bounds."""

import itertools

import pytest

from chatflow_hook import Rating
from imagegen.safety.rating import (
    RatingBounds,
    drawn_rating,
    effective_rating,
    known_rating,
    lowest_rating,
)

SAFE, SUGGESTIVE, EXPLICIT = Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT
HEIGHT = {SAFE: 0, SUGGESTIVE: 1, EXPLICIT: 2}
CHATS = ["private", "group", "supergroup", "channel", "", "Private", "unknown", None]
UNKNOWN = [None, "", "unknown", "EXPLICIT", "safe ", "xxx"]
TABLE = list(itertools.product(Rating, Rating, Rating, [True, False], CHATS))


@pytest.mark.parametrize(("asked", "persona", "operator", "is_confirmed", "chat_type"), TABLE)
def test_the_lowest_of_what_everybody_allows_counts(
    asked: Rating,
    persona: Rating,
    operator: Rating,
    is_confirmed: bool,  # noqa: FBT001 (a column of the table)
    chat_type: str | None,
) -> None:
    bounds = RatingBounds(
        asked=asked,
        persona=persona,
        operator=operator,
        is_confirmed=is_confirmed,
        chat_type=chat_type,
    )

    may_rise = is_confirmed and chat_type == "private"
    expected = min(HEIGHT[asked], HEIGHT[persona], HEIGHT[operator]) if may_rise else 0

    assert HEIGHT[effective_rating(bounds)] == expected


def test_the_table_is_whole() -> None:
    assert len(TABLE) == 3 * 3 * 3 * 2 * 8


@pytest.mark.parametrize("value", UNKNOWN)
def test_what_is_not_known_is_safe(value: str | None) -> None:
    assert known_rating(value) is SAFE


@pytest.mark.parametrize("value", UNKNOWN)
def test_a_picture_of_which_nothing_is_known_may_be_anything(value: str | None) -> None:
    assert drawn_rating(value) is EXPLICIT


@pytest.mark.parametrize("rating", list(Rating))
def test_what_is_known_is_itself(rating: Rating) -> None:
    assert known_rating(rating.value) is rating
    assert drawn_rating(rating.value) is rating


def test_the_lowest_is_the_tamest() -> None:
    assert lowest_rating(EXPLICIT, SUGGESTIVE) is SUGGESTIVE
    assert lowest_rating(EXPLICIT, SAFE, SUGGESTIVE) is SAFE
