"""A text as its words were meant, whatever was done to their letters; pure."""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from anyascii import anyascii

# What stands for a letter in the Latin and in the Cyrillic alphabet. `1` may be either of two.
_LATIN = str.maketrans(
    {
        **dict(zip("аеорсухкмтвнгіј", "aeopcyxkmtbhrij", strict=True)),
        **dict(zip("03456789@$!|+", "oeasgtbgasilt", strict=True)),
    }
)
_ONES = (str.maketrans("1", "i"), str.maketrans("1", "l"))
_CYRILLIC = str.maketrans(
    {
        **dict(zip("aeopcyxkmtbhirun", "аеорсухкмтвнигип", strict=True)),
        **dict(zip("034681@", "озчбвиа", strict=True)),
    }
)

_TO_CYRILLIC = {
    "shch": "щ", "sch": "щ", "zh": "ж", "kh": "х", "ts": "ц", "tz": "ц", "ch": "ч", "sh": "ш",
    "yu": "ю", "ju": "ю", "ya": "я", "ja": "я", "yo": "е", "ye": "е", "iy": "ий", "ij": "ий",
    "a": "а", "b": "б", "v": "в", "w": "в", "g": "г", "d": "д", "e": "е", "z": "з", "i": "и",
    "j": "й", "y": "ы", "k": "к", "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "r": "р",
    "s": "с", "t": "т", "u": "у", "f": "ф", "h": "х", "c": "ц", "x": "кс", "q": "к",
}  # fmt: skip
_SOUNDS = re.compile("|".join(sorted(_TO_CYRILLIC, key=len, reverse=True)))

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
# Signs that stand for letters belong to a word where they touch one.
_PIECE = re.compile(r"[^\W_]+(?:[@$|+!][^\W_]+)*|[@$][^\W_]+(?:[@$|+!][^\W_]+)*")
_DIGITS_THEN_LETTERS = re.compile(r"(\d+)([^\W\d_]{2,})")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_DOUBLES = re.compile(r"(.)\1+")
# Marks that make another letter of Russian, and must stay.
_LETTERS_OF_THEIR_OWN = {("и", "\u0306"): "й", ("е", "\u0308"): "е"}
_SHORT = 3
_FEWEST_IN_A_RUN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word: as written but for case and marks, and all that it may have been meant to say."""

    plain: str
    readings: tuple[str, ...]

    @property
    def number(self) -> int | None:
        """The number that it is written as in digits, if it is."""
        return int(self.plain) if self.plain.isdecimal() and len(self.plain) < 6 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """The words of a sentence, and what they become when they are pushed together.

    `glued` are pairs and dotted words read as one; `runs` are rows of bits too short for words.
    """

    words: tuple[Word, ...]
    glued: tuple[str, ...]
    runs: tuple[str, ...]


def sentences(text: str) -> Iterator[Sentence]:
    """Read a text, one sentence after the other."""
    for part in _SENTENCE_END.split(plain(text)):
        if sentence := _sentence(part):
            yield sentence


def plain(text: str) -> str:
    """Return a text in small letters of two alphabets, without marks and unseen signs."""
    bare: list[str] = []
    for sign in unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text)).lower():
        match unicodedata.category(sign):
            case "Mn" | "Me":
                if bare:
                    bare[-1] = _LETTERS_OF_THEIR_OWN.get((bare[-1], sign), bare[-1])
            case "Cf" | "Cs" | "Co":
                pass
            case "Cc":
                bare.append("\n" if sign == "\n" else " ")
            case "Ll" | "Lo" | "Lm" | "Lu" | "Nd":
                bare.append(_letter(sign))
            case _:
                bare.append(sign)
    return "".join(bare)


def undoubled(word: str) -> str:
    """Return a word with each letter once where it stands several times in a row."""
    return _DOUBLES.sub(r"\1", word)


def _sentence(part: str) -> Sentence | None:
    chunks = [[*_pieces(chunk)] for chunk in part.split()]
    pieces = _numbers_joined([piece for chunk in chunks for piece in chunk])
    if not pieces:
        return None
    dotted = ("".join(chunk) for chunk in chunks if len(chunk) > 1)
    pairs = ("".join(pair) for pair in itertools.pairwise(pieces))
    joined = (reading for word in (*dotted, *pairs) for reading in _readings(word))
    return Sentence(
        words=tuple(Word(plain=piece, readings=_readings(piece)) for piece in pieces),
        glued=tuple(joined),
        runs=tuple(reading for run in _runs(pieces) for reading in _readings(run)),
    )


def _pieces(chunk: str) -> Iterator[str]:
    for found in _PIECE.finditer(chunk):
        piece = found.group()
        if split := _DIGITS_THEN_LETTERS.fullmatch(piece):  # 15yo, 15летняя
            yield piece
            yield from split.groups()
        else:
            yield piece


def _numbers_joined(pieces: list[str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and _is_digit(piece) and _is_digit(joined[-1]):  # 1 6 years old
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _is_digit(piece: str) -> bool:
    return len(piece) == 1 and piece.isdecimal()


def _runs(pieces: list[str]) -> Iterator[str]:
    for is_short, run in itertools.groupby(pieces, key=lambda piece: len(piece) <= _SHORT):
        bits = list(run)
        if is_short and len(bits) >= _FEWEST_IN_A_RUN:
            yield "".join(bits)


@functools.lru_cache(maxsize=50_000)
def _readings(word: str) -> tuple[str, ...]:
    """Return what a word may have been meant to say: in Latin, in Cyrillic, in Latin for Russian."""
    found = {word: None}
    for one in _ONES:
        found[word.translate(one).translate(_LATIN)] = None
    found[word.translate(_CYRILLIC)] = None
    for latin in [each for each in found if each.isascii() and each.isalpha()]:
        found[_SOUNDS.sub(_sound, latin)] = None
    for long in [each for each in found if _LONG_RUN.search(each)]:
        found[_LONG_RUN.sub(r"\1\1", long)] = None
        found[_LONG_RUN.sub(r"\1", long)] = None
    return tuple(found)


def _sound(found: re.Match[str]) -> str:
    return _TO_CYRILLIC[found.group()]


@functools.lru_cache(maxsize=5_000)
def _letter(sign: str) -> str:
    if sign.isascii() or "\u0430" <= sign <= "\u044f" or sign in "ёіј":
        return "е" if sign == "ё" else sign
    # Other alphabets and fancy letters, as near as ASCII can say them.
    return anyascii(sign).lower() or sign
