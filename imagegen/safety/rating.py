"""The effective rating of a picture, and the errors of a picture that is refused; pure.

The effective rating is the lowest of what the bot, the persona, the operator, the user and the chat
allow.
"""

import logging
from dataclasses import dataclass

from chatflow_hook.turn import Rating
from imagegen.errors import Rejected

PRIVATE = "private"

_ORDER = (Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT)

_SENTENCES = {
    "en": "I would rather not send a picture here. Let's talk about something else.",
    "ru": "Здесь я лучше не буду присылать картинку. Давай поговорим о чём-нибудь другом.",
}


@dataclass(frozen=True, kw_only=True)
class RatingBounds:
    """What limits the rating of one picture.

    `asked` is the turn's rating. `is_confirmed`: the user has confirmed their age. A `chat_type` of
    None is not known, and counts as public.
    """

    asked: Rating
    persona: Rating
    operator: Rating
    is_confirmed: bool
    chat_type: str | None


def effective_rating(bounds: RatingBounds) -> Rating:
    """Return the highest rating that all bounds allow.

    It is above safe only in a private chat with a user who has confirmed their age.
    """
    user = Rating.EXPLICIT if bounds.is_confirmed else Rating.SAFE
    chat = Rating.EXPLICIT if bounds.chat_type == PRIVATE else Rating.SAFE
    return lowest_rating(bounds.asked, bounds.persona, bounds.operator, user, chat)


def lowest_rating(*ratings: Rating) -> Rating:
    """Return the lowest of several ratings."""
    return min(ratings, key=_ORDER.index)


def known_rating(value: str | None) -> Rating:
    """Return the rating of this name; SAFE for None and for an unknown name."""
    return _rating_named(value, Rating.SAFE)


def drawn_rating(value: str | None) -> Rating:
    """Return the rating at which an image was drawn; EXPLICIT for None and for an unknown name."""
    return _rating_named(value, Rating.EXPLICIT)


class Refused(Rejected):
    """The picture is not drawn or not sent. The code is the rule; the sentence does not say it."""

    # Not a warning: it is no fault of the service. The safety audit has the details.
    level = logging.INFO

    def __init__(self, rule: str, *, language: str | None) -> None:
        super().__init__(refusal_sentence(language), code=rule)


class RatingWithdrawn(Refused):
    """The picture was drawn with a rating that its user may not have any more."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="rating_withdrawn", language=language)


class ImageRefused(Refused):
    """The operator's ImageScreen did not pass the drawn image."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="image_refused", language=language)


def refusal_sentence(language: str | None) -> str:
    """Return what the persona says instead of sending a picture.

    `language` is a code such as `ru-RU`; the sentence is English for None and for other languages.
    """
    code = (language or "").replace("_", "-").partition("-")[0].lower()
    return _SENTENCES.get(code, _SENTENCES["en"])


def _rating_named(value: str | None, default: Rating) -> Rating:
    return Rating(value) if value in set(Rating) else default
