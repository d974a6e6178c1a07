"""The lexicon: the words that the screen looks for, by what they stand for."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files

from ahocorasick_rs import AhoCorasick

from imagegen.safety.normalise import plain, undoubled

_FEWEST_LETTERS = 5


class Lexicon:
    """Finds words and phrases; a star in a list ends a word that may go on."""

    def __init__(self, topics: dict[str, list[str]]) -> None:
        entries = [(topic, word) for topic, words in topics.items() for word in words]
        self._topics = [topic for topic, _ in entries]
        self._patterns = AhoCorasick([_pattern(word) for _, word in entries])

    def topics(self, words: str) -> Iterator[str]:
        """Return what words parted by single spaces speak of, some perhaps more than once."""
        for index, _, _ in self._patterns.find_matches_as_indexes(f" {words} ", overlapping=True):
            yield self._topics[index]


class Fragments:
    """Finds long words anywhere in a row of letters, however their letters are doubled."""

    def __init__(self, words: list[str]) -> None:
        long = {undoubled(_bare(word)) for word in words}
        self._patterns = AhoCorasick([word for word in long if len(word) >= _FEWEST_LETTERS])

    def are_in(self, letters: str) -> bool:
        """Say whether one of the words is in it."""
        return bool(self._patterns.find_matches_as_indexes(undoubled(letters)))


def shipped(name: str) -> dict[str, list[str]]:
    """Read one of the lists that travel with this package: topic → words of all languages."""
    text = files("imagegen.safety").joinpath("lexicon", f"{name}.toml").read_text("utf-8")
    lists = tomllib.loads(text)
    return {
        topic: [word for words in languages.values() for word in words]
        for topic, languages in lists.items()
    }


def _pattern(word: str) -> str:
    known = plain(word)
    return f" {known[:-1]}" if known.endswith("*") else f" {known} "


def _bare(word: str) -> str:
    return "".join(sign for sign in plain(word) if sign.isalpha())
