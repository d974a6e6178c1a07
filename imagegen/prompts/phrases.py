"""What a phrase of a scene may look like, whoever wrote it: a person, a file or a model."""

import re
import unicodedata
from collections.abc import Callable

# What would be read as markup, a weight or a placeholder, and what no plain phrase needs.
_FORBIDDEN = set("<>{}[]|\\`^~#@=_")
_ENDS = " ,;:-."
# Of a telephone or a card, and of nothing that can be seen in a picture.
_LONG_NUMBER = re.compile(r"\d[\d -]{4,}\d|\d{5}")


def phrase(most_words: int) -> Callable[[str], str]:
    """Check for one line of plain English of so many words at most. Raises ValueError."""

    def check(text: str) -> str:
        if any(unicodedata.category(sign) in {"Zl", "Zp"} or _is_unseen(sign) for sign in text):
            raise ValueError("must be one line without control characters")
        words = text.strip(_ENDS).split()
        if not words:
            raise ValueError("must not be empty")
        if len(words) > most_words:
            raise ValueError(f"must have at most {most_words} words, has {len(words)}")
        if _LONG_NUMBER.search(text):
            raise ValueError("must have no long number")
        if _FORBIDDEN & set(text) or any(map(_is_foreign, text)):
            raise ValueError("must be plain English")
        return " ".join(words)

    return check


def _is_unseen(sign: str) -> bool:
    return unicodedata.category(sign).startswith("C")


def _is_foreign(sign: str) -> bool:
    return sign.isalpha() and not unicodedata.name(sign, "").startswith("LATIN ")
