"""How far a picture may go, and how a request ends whose picture is not drawn; pure."""

import logging
from dataclasses import dataclass

from chatflow_hook.turn import Rating
from imagegen.errors import Rejected

PRIVATE = "private"

_ORDER = (Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT)


@dataclass(frozen=True, kw_only=True)
class RatingBounds:
    """What limits the rating of one picture; a chat type of None is not known to be private."""

    asked: Rating
    persona: Rating
    operator: Rating
    is_confirmed: bool
    chat_type: str | None


def effective_rating(bounds: RatingBounds) -> Rating:
    """Return the highest rating that nobody forbids.

    Above safe only in a private chat with a user who has confirmed their age.
    """
    user = Rating.EXPLICIT if bounds.is_confirmed else Rating.SAFE
    chat = Rating.EXPLICIT if bounds.chat_type == PRIVATE else Rating.SAFE
    return lowest_rating(bounds.asked, bounds.persona, bounds.operator, user, chat)


def lowest_rating(*ratings: Rating) -> Rating:
    """Return the tamest of several ratings."""
    return min(ratings, key=_ORDER.index)


def known_rating(value: str | None) -> Rating:
    """Return the rating of that name; whatever is not known is safe."""
    return _rating_named(value, Rating.SAFE)


def drawn_rating(value: str | None) -> Rating:
    """Return how far a drawn picture goes; of what is not known it may be anything."""
    return _rating_named(value, Rating.EXPLICIT)


def _rating_named(value: str | None, otherwise: Rating) -> Rating:
    return Rating(value) if value in set(Rating) else otherwise


_SENTENCES = {
    "en": "I would rather not send a picture here. Let's talk about something else.",
    "ru": "Здесь я лучше не буду присылать картинку. Давай поговорим о чём-нибудь другом.",
}


class Refused(Rejected):
    """The picture is not drawn or not sent; the code names the rule, the sentence does not."""

    # What people write is their business; the audit has the rest.
    level = logging.INFO

    def __init__(self, rule: str, *, language: str | None) -> None:
        super().__init__(refusal_sentence(language), code=rule)


class RatingWithdrawn(Refused):
    """The picture was drawn for somebody who may not have it any more."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="rating_withdrawn", language=language)


class ImageRefused(Refused):
    """The operator's own look at the drawn picture did not pass it."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="image_refused", language=language)


def refusal_sentence(language: str | None) -> str:
    """Return what a persona may say instead, by a language code such as `ru-RU`; else English."""
    code = (language or "").replace("_", "-").partition("-")[0].lower()
    return _SENTENCES.get(code, _SENTENCES["en"])
