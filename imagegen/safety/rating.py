"""The effective rating: the lowest of what everybody allows; pure."""

from dataclasses import dataclass

from chatflow_hook.turn import Rating

PRIVATE = "private"

_ORDER = (Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What limits the rating of one picture; a chat type of None is not known to be private."""

    asked: Rating
    persona: Rating
    operator: Rating
    is_confirmed: bool
    chat_type: str | None


def effective(bounds: Bounds) -> Rating:
    """Return the highest rating that nobody forbids.

    Above safe only in a private chat with a user who has confirmed their age.
    """
    user = Rating.EXPLICIT if bounds.is_confirmed else Rating.SAFE
    chat = Rating.EXPLICIT if bounds.chat_type == PRIVATE else Rating.SAFE
    return lowest(bounds.asked, bounds.persona, bounds.operator, user, chat)


def lowest(*ratings: Rating) -> Rating:
    """Return the tamest of several ratings."""
    return min(ratings, key=_ORDER.index)


def known(value: str | None) -> Rating:
    """Return the rating of that name; whatever is not known is safe."""
    return _named(value, Rating.SAFE)


def drawn(value: str | None) -> Rating:
    """Return how far a drawn picture goes; of what is not known it may be anything."""
    return _named(value, Rating.EXPLICIT)


def _named(value: str | None, otherwise: Rating) -> Rating:
    return Rating(value) if value in set(Rating) else otherwise
