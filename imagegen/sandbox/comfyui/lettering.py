"""Text that Pillow's built-in font can write, fitted into lines."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# The built-in font has no Cyrillic: what people here write is spelled in Latin letters rather
# than in boxes.
_LATIN = (
    "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch",
    "", "y", "", "e", "yu", "ya",
)  # fmt: skip
_CYRILLIC = dict(
    zip("абвгдежзийклмнопрстуфхцчшщъыьэюя", [*_LATIN[0].split(), *_LATIN[1:]], strict=True)
)
_CYRILLIC["ё"] = "yo"
_SIGNS = {"—": "-", "–": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "№": "No."}


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Give the built-in font in a size."""
    return ImageFont.load_default(size)


def written(text: str) -> str:
    """Spell a text with letters that the font has; what it cannot spell is left out."""
    return " ".join("".join(_spelled(text)).split())


def lines(text: str, *, width: float, size: int, most: int) -> list[str]:
    """Break a text into at most so many lines of that width; the last one tells if it goes on."""
    fitted: list[str] = []
    words = written(text).split()
    while words and len(fitted) < most:
        count = _fitting(words, width, size)
        fitted.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        fitted[-1] += " ..."
    return fitted


def _spelled(text: str) -> Iterator[str]:
    for sign in text:
        if (low := sign.lower()) in _CYRILLIC:
            latin = _CYRILLIC[low]
            yield latin if sign == low else latin.capitalize()
        elif sign in _SIGNS:
            yield _SIGNS[sign]
        elif sign.isspace():
            yield " "
        else:
            plain = unicodedata.normalize("NFKD", sign)
            yield "".join(part for part in plain if part.isascii() and part.isprintable())


def _fitting(words: list[str], width: float, size: int) -> int:
    count = 1
    while count < len(words) and font(size).getlength(" ".join(words[: count + 1])) <= width:
        count += 1
    return count
