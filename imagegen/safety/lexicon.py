"""The lexicon: the words that the screen looks for, by what they stand for."""

import itertools
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from ahocorasick_rs import AhoCorasick

from imagegen.safety.normalise import plain

# Hard words of so many letters are looked for in parted letters.
_FEWEST_LETTERS = 4
_LONG_ENOUGH = 6
_BITS, _ANY = 3, 1_000
_CODE, _OTHER = "code", "other"
_SPARED = "spared"
_SIGNS_OF_SOFTNESS = str.maketrans("", "", "ьъ")


class Lexicon:
    """Finds words and phrases; a star in a list ends a word that may go on.

    What stands inside one of the phrases of `spared` is not found.
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
        """Return what words parted by single spaces speak of, some perhaps more than once."""
        found = self._patterns.find_matches_as_indexes(f" {words} ", overlapping=True)
        spared = [at for index, *at in found if self._topics[index] is _SPARED]
        for index, start, end in found:
            if not any(first <= start and end <= last for first, last in spared):
                yield self._topics[index]


class Squeezed:
    """Finds hard words whose letters were parted: `jail bait`, `l o l i`.

    What is found begins and ends where written pieces do, so that "thunder agent" is no hit. A
    short word counts only in single letters, and one that is no code in pieces of three at most.
    Words of `whole` are found as they are written: they look like forms of harmless ones.
    """

    def __init__(
        self, codes: Iterable[str], others: Iterable[str], *, whole: Iterable[str]
    ) -> None:
        self._whole = frozenset(map(plain, whole))
        words = {_bare(word): _CODE for word in codes}
        words |= {_bare(word): _OTHER for word in others if _bare(word) not in words}
        kept = {word: kind for word, kind in words.items() if len(word) >= _FEWEST_LETTERS}
        self._patterns = AhoCorasick(list(kept))
        self._most = [
            (1 if len(word) < _LONG_ENOUGH else _ANY) if kind is _CODE else _BITS
            for word, kind in kept.items()
        ]

    def are_in(self, pieces: Sequence[str]) -> bool:
        """Say whether one of the words stands in several of these pieces."""
        if not self._whole.isdisjoint(pieces):
            return True
        row = "".join(pieces)
        found = self._patterns.find_matches_as_indexes(row, overlapping=True)
        if not found:
            return False
        ends = list(itertools.accumulate(map(len, pieces)))
        starts = {
            end - len(piece): at for at, (end, piece) in enumerate(zip(ends, pieces, strict=True))
        }
        stops = {end: at for at, end in enumerate(ends)}
        return any(
            start in starts
            and end in stops
            and stops[end] > starts[start]
            and max(map(len, pieces[starts[start] : stops[end] + 1])) <= self._most[index]
            for index, start, end in found
        )


def shipped_lexicon(name: str) -> dict[str, list[str]]:
    """Read one of the lists that travel with this package: topic → words of all languages."""
    text = files("imagegen.safety").joinpath("lexicon", f"{name}.toml").read_text("utf-8")
    lists = tomllib.loads(text)
    return {
        topic: [word for words in languages.values() for word in words]
        for topic, languages in lists.items()
    }


def _patterns(word: str) -> Iterator[str]:
    known = plain(word)
    pattern = f" {known[:-1]}" if known.endswith("*") else f" {known} "
    yield pattern
    # Latin letters don't say where Russian is soft.
    yield pattern.translate(_SIGNS_OF_SOFTNESS)


def _bare(word: str) -> str:
    return "".join(sign for sign in plain(word) if sign.isalpha())
