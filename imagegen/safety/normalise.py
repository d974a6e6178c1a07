"""Text as the screen reads it: in plain letters, and in all readings that a disguise may have; pure.

Disguises are letters of other alphabets, digits and other characters in place of letters, repeated
letters, and stars that hide letters (`sch**l`).
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyascii import anyascii

from imagegen import morphology

# Characters that are written in place of Latin letters.
_LATIN = str.maketrans(
    {
        **dict(zip("аеорсухкмтвнгіј", "aeopcyxkmtbhrij", strict=True)),
        **dict(zip("0345679@$!|+€", "oeasgtgasilte", strict=True)),
    }
)
# `1` and `8` may each be one of two letters, so a word has a reading with each.
_AMBIGUOUS_TABLES = tuple(str.maketrans({"1": one, "8": eight}) for one in "il" for eight in "ba")
# Characters that are written in place of Cyrillic letters; `3` and `4` may be one of two.
_CYRILLIC_TABLES = tuple(
    str.maketrans(
        {
            **dict(zip("aeopcyxkmtbhirun", "аеорсухкмтвнигип", strict=True)),
            **dict(zip("06819@і€", "обвияаие", strict=True)),
            "3": three,
            "4": four,
        }
    )
    for three in "зе"
    for four in "ча"
)

# Russian in Latin letters, by sound.
_TO_CYRILLIC = {
    "shch": "щ", "sch": "щ", "zh": "ж", "kh": "х", "ts": "ц", "tz": "ц", "ch": "ч", "sh": "ш",
    "yu": "ю", "ju": "ю", "ya": "я", "ja": "я", "yo": "е", "ye": "е", "iy": "ий", "ij": "ий",
    "a": "а", "b": "б", "v": "в", "w": "в", "g": "г", "d": "д", "e": "е", "z": "з", "i": "и",
    "j": "й", "y": "ы", "k": "к", "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "r": "р",
    "s": "с", "t": "т", "u": "у", "f": "ф", "h": "х", "c": "ц", "x": "кс", "q": "к",
}  # fmt: skip
_LATIN_SOUNDS = re.compile("|".join(sorted(_TO_CYRILLIC, key=len, reverse=True)))

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
# A character such as `@` belongs to a word if it touches a letter of it.
_WORD_PIECE = re.compile(r"[^\W_]+(?:[@$€|+!][^\W_]+)*[@$]?|[@$|][^\W_]+(?:[@$€|+!][^\W_]+)*[@$]?")
_DIGITS_THEN_LETTERS = re.compile(r"(\d+)([^\W\d_]{2,})")
_PAUSES = (",", ";", ":", ")", "*", "-", "–", "—", ".", "!", "?", "…")
_QUOTES = "\"'»”’"
_LONG_RUN = re.compile(r"(.)\1{2,}")
# Combining marks that make another letter of Russian, and are not removed.
_COMPOSED_LETTERS = {("и", "\u0306"): "й", ("е", "\u0308"): "е"}
_MAX_WORD = 60  # characters
# Text that needs no normalisation: lower case letters of both alphabets, digits, punctuation.
_PLAIN_TEXT = re.compile(r"[a-zа-я0-9 .,!?;:'\"()/\n@$|+*&%#=<>_\-–—«»…’“”„]*")

_STARS = "*•·"
_STARRED_TOKEN = re.compile(rf"[^\W\d_]+(?:[{_STARS}]+[^\W\d_]+)+")
_STAR_RUN = re.compile(rf"([{_STARS}]+)")
# Writers do not count: a run of stars may stand for one letter up to this many more than stars.
_EXTRA_LETTERS = 2
_MIN_STARRED_LETTERS = 4
_MAX_STARRED_CHUNK = 60
# The most letters of an ending that may follow the stem of a word.
_MAX_ENDING = 4


# Compared by identity (eq=False), since words are keys of caches and are looked up often.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NormalisedWord:
    """One word, and all that may have been meant with it.

    `plain` is the word as written, in plain letters. `latin`, `cyrillic` and `translit` (Russian in
    Latin letters, as Cyrillic) are the most likely readings; `readings` are all.
    """

    plain: str
    latin: str
    cyrillic: str
    translit: str
    readings: tuple[str, ...]

    @property
    def number(self) -> int | None:
        """The number of a word in digits, of at most five; None for any other word."""
        return int(self.plain) if self.plain.isdecimal() and len(self.plain) < 6 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalisedSentence:
    """The words of a sentence.

    `glued` are words with other characters inside, read as one word each. `ends` are the indices of
    words that a comma or another pause follows.
    """

    words: tuple[NormalisedWord, ...]
    glued: tuple[NormalisedWord, ...]
    ends: frozenset[int]


def sentences(text: str) -> Iterator[NormalisedSentence]:
    """Yield the sentences of a text."""
    for part in _SENTENCE_END.split(plain(text)):
        if sentence := _sentence(part):
            yield sentence


def plain(text: str) -> str:
    """Return a text in lower case Latin and Cyrillic letters, without marks and invisible characters."""
    lowered = text.lower().replace("ё", "е")
    if _PLAIN_TEXT.fullmatch(lowered):
        return lowered
    characters: list[str] = []
    for character in unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text)).lower():
        match unicodedata.category(character):
            case "Mn" | "Me":
                if characters:
                    characters[-1] = _COMPOSED_LETTERS.get(
                        (characters[-1], character), characters[-1]
                    )
            case "Cf" | "Cs" | "Co":
                pass
            case "Cc":
                characters.append("\n" if character == "\n" else " ")
            case "Ll" | "Lo" | "Lm" | "Lu" | "Nd":
                characters.append(_to_plain_letter(character))
            case _:
                characters.append(character)
    return "".join(characters)


class StarredWords:
    """Finds words whose letters are hidden by stars. `abc*` in the list is a word starting with abc."""

    def __init__(self, words: Iterable[str]) -> None:
        single = {plain(word) for word in words if " " not in word}
        stems = {word[:-1] for word in single if word.endswith("*")}
        self._words = {word for word in single if not word.endswith("*")} | stems
        self._words = {word for word in self._words if len(word) >= _MIN_STARRED_LETTERS}
        self._stems = stems & self._words

    def are_in(self, text: str) -> bool:
        """Whether one of the words may be meant."""
        if not any(character in text for character in _STARS):
            return False
        # Chunk by chunk, and none that is too long, so that the time does not grow with its square.
        chunks = (chunk for chunk in plain(text).split() if len(chunk) <= _MAX_STARRED_CHUNK)
        return any(
            self._matches_word(token) for each in chunks for token in _STARRED_TOKEN.findall(each)
        )

    def _matches_word(self, token: str) -> bool:
        if any(map(_starred_pattern(token).fullmatch, self._words)):
            return True
        return any(
            _starred_pattern(stem).fullmatch(word)
            for stem in _without_ending(token)
            for word in self._stems
        )


def _sentence(part: str) -> NormalisedSentence | None:
    chunks_as_written = part.split()
    chunks = [[*_pieces(chunk)] for chunk in chunks_as_written]
    pauses = [
        chunk.rstrip(_QUOTES).endswith(_PAUSES) or after.startswith("(")
        for chunk, after in itertools.pairwise((*chunks_as_written, ""))
    ]
    pieces, ends = _join_digits(chunks, pauses)
    if not pieces:
        return None
    return NormalisedSentence(
        words=tuple(map(_word, pieces)),
        glued=tuple(
            _word(word)
            for chunk in chunks
            if len(chunk) > 1 and len(word := "".join(chunk)) <= _MAX_WORD
        ),
        ends=frozenset(ends),
    )


def _pieces(chunk: str) -> Iterator[str]:
    for found in _WORD_PIECE.finditer(chunk):
        piece = found.group()
        if len(piece) > _MAX_WORD:  # no word; it must not fill the caches
            yield from (piece[at : at + _MAX_WORD] for at in range(0, len(piece), _MAX_WORD))
        elif split := _DIGITS_THEN_LETTERS.fullmatch(piece):  # 15yo, 15летняя
            yield piece
            yield from split.groups()
        else:
            yield piece


def _join_digits(chunks: list[list[str]], pauses: list[bool]) -> tuple[list[str], list[int]]:
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


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _word(piece: str) -> NormalisedWord:
    latins = [piece.translate(each).translate(_LATIN) for each in _AMBIGUOUS_TABLES]
    # Latin letters that do not look like a Cyrillic one are read by their sound.
    cyrillics = [
        _LATIN_SOUNDS.sub(_to_cyrillic, piece.translate(each)) for each in _CYRILLIC_TABLES
    ]
    translits = [
        _LATIN_SOUNDS.sub(_to_cyrillic, each)
        for each in latins
        if each.isascii() and each.isalpha()
    ]
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


def _to_cyrillic(found: re.Match[str]) -> str:
    return _TO_CYRILLIC[found.group()]


@functools.lru_cache(maxsize=5_000)
def _to_plain_letter(character: str) -> str:
    if character.isascii() or "\u0430" <= character <= "\u044f" or character in "ёіј":
        return "е" if character == "ё" else character
    # Letters of other alphabets, and decorated ones, become the nearest ASCII letters.
    return anyascii(character).lower() or character


def _starred_pattern(token: str) -> re.Pattern[str]:
    parts = (
        f".{{1,{len(part) + _EXTRA_LETTERS}}}" if part[0] in _STARS else re.escape(part)
        for part in _STAR_RUN.split(token)
    )
    return re.compile("".join(parts))


def _without_ending(token: str) -> Iterator[str]:
    """Yield the token without its last one, two … letters, which may be an ending."""
    tail = len(_STAR_RUN.split(token)[-1])
    for letters in range(1, min(tail, _MAX_ENDING + 1)):
        yield token[:-letters]
