"""Text as the screen reads it: plain letters, disguises undone, words hidden by stars; pure."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyascii import anyascii

# What stands for a letter in the Latin and in the Cyrillic alphabet. `1` may be either of two.
_LATIN = str.maketrans(
    {
        **dict(zip("аеорсухкмтвнгіј", "aeopcyxkmtbhrij", strict=True)),
        **dict(zip("0345679@$!|+", "oeasgtgasilt", strict=True)),
    }
)
# Which letter these stand for, one writer means this and another that.
_AMBIGUOUS = tuple(str.maketrans({"1": one, "8": eight}) for one in "il" for eight in "ba")
_CYRILLICS = tuple(
    str.maketrans(
        {
            **dict(zip("aeopcyxkmtbhirun", "аеорсухкмтвнигип", strict=True)),
            **dict(zip("06819@і", "обвияаи", strict=True)),
            "3": three,
            "4": four,
        }
    )
    for three in "зе"
    for four in "ча"
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
_PIECE = re.compile(r"[^\W_]+(?:[@$|+!][^\W_]+)*[@$]?|[@$|][^\W_]+(?:[@$|+!][^\W_]+)*[@$]?")
_DIGITS_THEN_LETTERS = re.compile(r"(\d+)([^\W\d_]{2,})")
_PAUSES = (",", ";", ":", ")", "-", "–", "—", ".", "!", "?", "…")
_LONG_RUN = re.compile(r"(.)\1{2,}")
# Marks that make another letter of Russian, and must stay.
_LETTERS_OF_THEIR_OWN = {("и", "\u0306"): "й", ("е", "\u0308"): "е"}
_LONGEST = 60
# What needs none of the care below: small letters of both alphabets, digits, plain signs.
_EASY = re.compile(r"[a-zа-я0-9 .,!?;:'\"()/\n@$|+*&%#=<>_\-–—«»…’“”„]*")


# Told apart by which object it is: words are remembered and looked up often.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NormalisedWord:
    """One word: as written but for case and marks, and all that it may have been meant to say.

    `latin`, `cyrillic` and `translit` (Russian in Latin letters) are its likeliest readings.
    """

    plain: str
    latin: str
    cyrillic: str
    translit: str
    readings: tuple[str, ...]

    @property
    def number(self) -> int | None:
        """The number that it is written as in digits, if it is."""
        return int(self.plain) if self.plain.isdecimal() and len(self.plain) < 6 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalisedSentence:
    """The words of a sentence, and what was written with signs inside, read as one word each.

    `ends` holds the places of words that a comma or another pause follows.
    """

    words: tuple[NormalisedWord, ...]
    glued: tuple[NormalisedWord, ...]
    ends: frozenset[int]


def sentences(text: str) -> Iterator[NormalisedSentence]:
    """Read a text, one sentence after the other."""
    for part in _SENTENCE_END.split(plain(text)):
        if sentence := _sentence(part):
            yield sentence


def plain(text: str) -> str:
    """Return a text in small letters of two alphabets, without marks and unseen signs."""
    small = text.lower().replace("ё", "е")
    if _EASY.fullmatch(small):
        return small
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


def _sentence(part: str) -> NormalisedSentence | None:
    written = part.split()
    chunks = [[*_pieces(chunk)] for chunk in written]
    pieces, ends = _numbers_joined(chunks, [chunk.endswith(_PAUSES) for chunk in written])
    if not pieces:
        return None
    return NormalisedSentence(
        words=tuple(map(_word, pieces)),
        glued=tuple(
            _word(word)
            for chunk in chunks
            if len(chunk) > 1 and len(word := "".join(chunk)) <= _LONGEST
        ),
        ends=frozenset(ends),
    )


def _pieces(chunk: str) -> Iterator[str]:
    for found in _PIECE.finditer(chunk):
        piece = found.group()
        if len(piece) > _LONGEST:  # no word, and not to be kept as one
            yield from (piece[at : at + _LONGEST] for at in range(0, len(piece), _LONGEST))
        elif split := _DIGITS_THEN_LETTERS.fullmatch(piece):  # 15yo, 15летняя
            yield piece
            yield from split.groups()
        else:
            yield piece


def _numbers_joined(chunks: list[list[str]], pauses: list[bool]) -> tuple[list[str], list[int]]:
    joined: list[str] = []
    ends: list[int] = []
    for chunk, pause in zip(chunks, pauses, strict=True):
        for piece in chunk:
            if joined and _is_digit(piece) and _is_digit(joined[-1]):  # 1 6 years old
                joined[-1] += piece
            else:
                joined.append(piece)
        if pause and joined:  # a pause alone, as in `15 - cute`, ends the word before it
            ends.append(len(joined) - 1)
    return joined, ends


def _is_digit(piece: str) -> bool:
    return len(piece) == 1 and piece.isdecimal()


@functools.lru_cache(maxsize=10_000)
def _word(piece: str) -> NormalisedWord:
    latins = [piece.translate(each).translate(_LATIN) for each in _AMBIGUOUS]
    # What is left of Latin letters is meant by its sound.
    cyrillics = [_SOUNDS.sub(_sound, piece.translate(each)) for each in _CYRILLICS]
    translits = [_SOUNDS.sub(_sound, each) for each in latins if each.isascii() and each.isalpha()]
    found = dict.fromkeys((piece, *latins, *cyrillics, *translits))
    for long in [each for each in found if _LONG_RUN.search(each)]:
        found[_LONG_RUN.sub(r"\1\1", long)] = None
        found[_LONG_RUN.sub(r"\1", long)] = None
    return NormalisedWord(
        plain=piece,
        latin=latins[0],
        cyrillic=cyrillics[0],
        translit=translits[0] if translits else piece,
        readings=tuple(found),
    )


def _sound(found: re.Match[str]) -> str:
    return _TO_CYRILLIC[found.group()]


@functools.lru_cache(maxsize=5_000)
def _letter(sign: str) -> str:
    if sign.isascii() or "\u0430" <= sign <= "\u044f" or sign in "ёіј":
        return "е" if sign == "ё" else sign
    # Other alphabets and fancy letters, as near as ASCII can say them.
    return anyascii(sign).lower() or sign


_SIGNS = "*•·"
_HIDDEN = re.compile(rf"[^\W\d_]+(?:[{_SIGNS}]+[^\W\d_]+)+")
_RUN = re.compile(rf"([{_SIGNS}]+)")
# People do not count: one star may stand for a syllable, and two for a letter.
_MORE = 2
_FEWEST_LETTERS = 4
_LONGEST_CHUNK = 60
# What may follow the stem of a word: an ending.
_ENDING = 4


class StarredWords:
    """Finds such words of a list; a star in the list ends a word that may go on."""

    def __init__(self, words: Iterable[str]) -> None:
        single = {plain(word) for word in words if " " not in word}
        stems = {word[:-1] for word in single if word.endswith("*")}
        self._words = {word for word in single if not word.endswith("*")} | stems
        self._words = {word for word in self._words if len(word) >= _FEWEST_LETTERS}
        self._stems = stems & self._words

    def are_in(self, text: str) -> bool:
        """Say whether one of the words may be meant."""
        if not any(sign in text for sign in _SIGNS):
            return False
        # Chunk by chunk: a text without end is not searched through for each of its letters.
        chunks = (chunk for chunk in plain(text).split() if len(chunk) <= _LONGEST_CHUNK)
        return any(self._may_be_meant(token) for each in chunks for token in _HIDDEN.findall(each))

    def _may_be_meant(self, token: str) -> bool:
        if any(map(_starred_pattern(token).fullmatch, self._words)):
            return True
        return any(
            _starred_pattern(stem).fullmatch(word)
            for stem in _without_ending(token)
            for word in self._stems
        )


def _starred_pattern(token: str) -> re.Pattern[str]:
    parts = (
        f".{{1,{len(part) + _MORE}}}" if part[0] in _SIGNS else re.escape(part)
        for part in _RUN.split(token)
    )
    return re.compile("".join(parts))


def _without_ending(token: str) -> Iterator[str]:
    """Give the token without its last letters, which may be an ending."""
    tail = len(_RUN.split(token)[-1])
    for letters in range(1, min(tail, _ENDING + 1)):
        yield token[:-letters]
