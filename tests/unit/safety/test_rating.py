"""The effective rating, for every combination of its five bounds."""

import itertools

import pytest

from chatflow_hook import Rating
from imagegen.safety.rating import (
    RatingBounds,
    drawn_rating,
    effective_rating,
    is_private_chat,
    known_rating,
    lowest_rating,
)

SAFE, SUGGESTIVE, EXPLICIT = Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT
HEIGHT = {SAFE: 0, SUGGESTIVE: 1, EXPLICIT: 2}
ANN, CHANNEL = 1001, -1001234567890
# The chat of a picture, its user, and whether nobody else is in that chat.
CHATS = [
    (ANN, ANN, True),
    (2**40, 2**40, True),
    (1002, ANN, False),
    (-ANN, ANN, False),
    (CHANNEL, ANN, False),
    (ANN, CHANNEL, False),
    # Somebody who writes in the name of a channel or a group, and an administrator without a name.
    (CHANNEL, CHANNEL, False),
    (-1, -1, False),
    (0, 0, False),
    (0, ANN, False),
    (None, ANN, False),
    (None, 0, False),
]
UNKNOWN = [None, "", "unknown", "EXPLICIT", "safe ", "xxx"]
TABLE = list(itertools.product(Rating, Rating, Rating, [True, False], CHATS))


@pytest.mark.parametrize(("asked", "persona", "operator", "is_confirmed", "chat"), TABLE)
def test_the_lowest_of_what_everybody_allows_counts(
    asked: Rating,
    persona: Rating,
    operator: Rating,
    is_confirmed: bool,  # noqa: FBT001 (a column of the table)
    chat: tuple[int | None, int, bool],
) -> None:
    chat_id, user_id, is_private = chat
    bounds = RatingBounds(
        asked=asked,
        persona=persona,
        operator=operator,
        is_confirmed=is_confirmed,
        is_private=is_private_chat(chat_id, user_id),
    )

    expected = min(HEIGHT[asked], HEIGHT[persona], HEIGHT[operator])

    may_rise = is_confirmed and is_private
    assert HEIGHT[effective_rating(bounds)] == (expected if may_rise else 0)


def test_the_table_is_whole() -> None:
    assert len(TABLE) == 3 * 3 * 3 * 2 * 12


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
