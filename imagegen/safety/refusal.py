"""The refusal: how a request ends whose picture is never drawn, or not for this person."""

import logging

from imagegen.errors import Rejected

_SENTENCES = {
    "en": "I would rather not send a picture here. Let's talk about something else.",
    "ru": "Здесь я лучше не буду присылать картинку. Давай поговорим о чём-нибудь другом.",
}


class Refused(Rejected):
    """The picture is not drawn or not sent; the code names the rule, the sentence does not."""

    # What people write is their business; the audit has the rest.
    level = logging.INFO

    def __init__(self, rule: str, *, language: str | None) -> None:
        super().__init__(sentence(language), code=rule)


class RatingWithdrawn(Refused):
    """The picture was drawn for somebody who may not have it any more."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="rating_withdrawn", language=language)


class ImageRefused(Refused):
    """The operator's own look at the drawn picture did not pass it."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="image_refused", language=language)


def sentence(language: str | None) -> str:
    """Return what a persona may say instead, by a language code such as `ru-RU`; else English."""
    code = (language or "").replace("_", "-").partition("-")[0].lower()
    return _SENTENCES.get(code, _SENTENCES["en"])
