"""Errors for a picture that is refused, with the sentence for the person in the chat; pure."""

import logging

from imagegen.errors import Rejected
from imagegen.languages import in_language

_SENTENCES = {
    "en": "I would rather not send a picture here. Let's talk about something else.",
    "ru": "Здесь я лучше не буду присылать картинку. Давай поговорим о чём-нибудь другом.",
}


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
    """The ImageScreen did not pass the drawn image."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="image_refused", language=language)


def refusal_sentence(language: str | None) -> str:
    """Return what the persona says instead of sending a picture.

    `language` is a code such as `ru-RU`; the sentence is English for None and for other languages.
    """
    return in_language(_SENTENCES, language)
