"""Words in which stars hide letters: `sch**l` is told by what it may be."""

import re
from collections.abc import Iterable, Iterator

from imagegen.safety.normalise import plain

_SIGNS = "*•·"
_HIDDEN = re.compile(rf"[^\W\d_]+(?:[{_SIGNS}]+[^\W\d_]+)+")
_RUN = re.compile(rf"([{_SIGNS}]+)")
# People do not count: one star may stand for a syllable, and two for a letter.
_MORE = 2
_FEWEST_LETTERS = 4
_LONGEST = 60
# What may follow the stem of a word: an ending.
_ENDING = 4


class Starred:
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
        chunks = (chunk for chunk in plain(text).split() if len(chunk) <= _LONGEST)
        return any(self._may_be_meant(token) for each in chunks for token in _HIDDEN.findall(each))

    def _may_be_meant(self, token: str) -> bool:
        if any(map(_pattern(token).fullmatch, self._words)):
            return True
        return any(_pattern(stem).fullmatch(word) for stem in _cut(token) for word in self._stems)


def _pattern(token: str) -> re.Pattern[str]:
    parts = (
        f".{{1,{len(part) + _MORE}}}" if part[0] in _SIGNS else re.escape(part)
        for part in _RUN.split(token)
    )
    return re.compile("".join(parts))


def _cut(token: str) -> Iterator[str]:
    """Give the token without its last letters, which may be an ending."""
    tail = len(_RUN.split(token)[-1])
    for letters in range(1, min(tail, _ENDING + 1)):
        yield token[:-letters]
