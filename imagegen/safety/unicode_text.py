"""Characters as a reader sees them: emoji by their names, and letters by what they look like; pure."""

import functools
import itertools
import unicodedata

import decancer_py
from anyascii import anyascii

# Emoji whose names say less or something else than what is meant with them.
_MEANINGS = {
    "👶": "small child",
    "👧": "little girl",
    "👦": "little boy",
    "🔞": "adults only",
    "🔟": "10",
    "🐤": "chick",
    "🐥": "chick",
}
_FIRST_EMOJI = "\U0001f000"
_JOINER = "\u200d"
_CHILDREN = {"small child", "little girl", "little boy", "child"}
_RUSSIAN = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяёАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЁ")


def visible(text: str) -> str:
    """Return a text without invisible characters, and with the names of emoji in their places.

    An invisible character would part a word for what looks for words.
    """
    if text.isascii():
        return text
    signs = [sign for sign in text if sign == _JOINER or not _is_invisible(sign)]
    around = zip([" ", *signs], signs, [*signs[1:], " "], strict=False)
    return "".join(itertools.starmap(_visible, around))


def look_alikes(text: str) -> str | None:
    """Return a text with letters of other alphabets as those they look like; None if it has none.

    Elsewhere such letters are read by their sound: the Greek ρ is an r there, and a p here.
    """
    if text.isascii() or not any(map(_is_of_another_alphabet, text)):
        return None
    return "".join(map(_look_alike, text))


def _visible(before: str, sign: str, after: str) -> str:
    if sign in _RUSSIAN or sign.isascii():
        return sign
    if sign == _JOINER:
        return ""
    if unicodedata.category(sign) != "So":
        return sign
    name = _emoji_name(sign)
    # A teacher is a woman joined with a school, and between letters an emoji may part a word: there
    # only a child counts.
    is_part = before == _JOINER or (before.isalpha() and (after.isalpha() or after == _JOINER))
    return " " if is_part and name.strip() not in _CHILDREN else name


@functools.lru_cache(maxsize=5_000)
def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cf", "Cs", "Co"}


@functools.lru_cache(maxsize=5_000)
def _emoji_name(sign: str) -> str:
    if sign in _MEANINGS:
        return f" {_MEANINGS[sign]} "
    name = anyascii(sign)
    if name.startswith(":") or not name:
        words = (name or unicodedata.name(sign, "").lower()).strip(":").replace("_", " ")
        return " " if words.isdecimal() else f" {words} "
    # Letters in squares are letters; signs such as stars may stand in place of letters.
    return name if sign >= _FIRST_EMOJI else sign


@functools.lru_cache(maxsize=5_000)
def _is_of_another_alphabet(character: str) -> bool:
    return (
        not character.isascii()
        and character not in _RUSSIAN
        and unicodedata.category(character).startswith("L")
    )


@functools.lru_cache(maxsize=5_000)
def _look_alike(character: str) -> str:
    if not _is_of_another_alphabet(character):
        return character
    letters = str(decancer_py.parse(character))
    return letters if letters.isascii() and letters.isalpha() else character
