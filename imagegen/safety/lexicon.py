"""The lexicon: the words that the screen looks for, by topic."""

import itertools
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from ahocorasick_rs import AhoCorasick

from imagegen.safety.normalise import plain

# Words of fewer letters are not searched for in separated letters.
_MIN_LETTERS = 4
_LONG_WORD = 6
_SHORT_PIECE, _ANY_PIECE = 3, 1_000
_CODE, _OTHER = "code", "other"
_SPARED = "spared"
_SOFT_AND_HARD_SIGNS = str.maketrans("", "", "ьъ")


class Lexicon:
    """Finds the words and phrases of topics. `abc*` in a list is any word that starts with abc.

    Words inside one of the phrases of `spared` are not found.
    """

    def __init__(self, topics: dict[str, list[str]], *, spared: list[str]) -> None:
        topics = {**topics, _SPARED: spared}
        entries = {
            (topic, pattern): None
            for topic, words in topics.items()
            for word in words
            for pattern in _patterns(word)
        }
        self._topics = [topic for topic, _ in entries]
        self._patterns = AhoCorasick([pattern for _, pattern in entries])

    def topics(self, words: str) -> Iterator[str]:
        """Yield the topics of words separated by single spaces; a topic may come more than once."""
        found = self._patterns.find_matches_as_indexes(f" {words} ", overlapping=True)
        spared = [at for index, *at in found if self._topics[index] is _SPARED]
        for index, start, end in found:
            if not any(first <= start and end <= last for first, last in spared):
                yield self._topics[index]


class Squeezed:
    """Finds words that were written in separated pieces: `jail bait`, `l o l i`.

    A hit must begin and end where pieces do, so that "thunder agent" is none. A code of fewer than
    six letters counts only in single letters; a word of `others` only in pieces of at most three.
    Words of `whole` are found as one piece, since their dictionary forms would be harmless words.
    """

    def __init__(
        self, codes: Iterable[str], others: Iterable[str], *, whole: Iterable[str]
    ) -> None:
        self._whole = frozenset(map(plain, whole))
        words = {_letters(word): _CODE for word in codes}
        words |= {_letters(word): _OTHER for word in others if _letters(word) not in words}
        searched = {word: kind for word, kind in words.items() if len(word) >= _MIN_LETTERS}
        self._patterns = AhoCorasick(list(searched))
        self._max_piece = [
            (1 if len(word) < _LONG_WORD else _ANY_PIECE) if kind is _CODE else _SHORT_PIECE
            for word, kind in searched.items()
        ]

    def are_in(self, pieces: Sequence[str]) -> bool:
        """Whether one of the words is spread over several of these pieces, or a `whole` is one."""
        if not self._whole.isdisjoint(pieces):
            return True
        joined = "".join(pieces)
        found = self._patterns.find_matches_as_indexes(joined, overlapping=True)
        if not found:
            return False
        ends = list(itertools.accumulate(map(len, pieces)))
        starts = {
            end - len(piece): at for at, (end, piece) in enumerate(zip(ends, pieces, strict=True))
        }
        ends_at = {end: at for at, end in enumerate(ends)}
        return any(
            start in starts
            and end in ends_at
            and ends_at[end] > starts[start]
            and max(map(len, pieces[starts[start] : ends_at[end] + 1])) <= self._max_piece[index]
            for index, start, end in found
        )


def shipped_lexicon(name: str) -> dict[str, list[str]]:
    """Read one of the lists of this package: the words of all languages by topic."""
    text = files("imagegen.safety").joinpath("lexicon", f"{name}.toml").read_text("utf-8")
    lists = tomllib.loads(text)
    return {
        topic: [word for words in languages.values() for word in words]
        for topic, languages in lists.items()
    }


def _patterns(word: str) -> Iterator[str]:
    normalised = plain(word)
    pattern = f" {normalised[:-1]}" if normalised.endswith("*") else f" {normalised} "
    yield pattern
    # Russian in Latin letters has no soft and hard signs.
    yield pattern.translate(_SOFT_AND_HARD_SIGNS)


def _letters(word: str) -> str:
    return "".join(character for character in plain(word) if character.isalpha())
