"""Chooses what a person reads by the language of that person, of which we write English and Russian."""

from collections.abc import Mapping
from typing import TypeVar

TextT = TypeVar("TextT")


def in_language(texts: Mapping[str, TextT], language: str | None) -> TextT:
    """Return the text for a language code such as `ru-RU` or `ru_RU`.

    `texts` has the keys `en` and `ru`. The English one is returned for None and for all other
    languages.
    """
    code = (language or "").replace("_", "-").partition("-")[0].lower()
    return texts.get(code, texts["en"])
