"""Whether a text consists of words that the screen can read: Russian or English ones; pure.

A word of another language may mean anything, so a text with one is not drawn as it stands. Words of
Ukrainian are unknown too: a dictionary of them would not add its topics to the lexicon.
"""

import functools
import re
import unicodedata
from collections.abc import Collection
from importlib.resources import files

from imagegen import morphology
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import sentences
from imagegen.safety.unicode_text import visible

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DIGITS = "0123456789"
_MAX_UNIT = 2  # letters of a unit beside digits: 85mm, 4k
# What a node fills in from files of its host: wildcards, alternatives, LoRAs, embeddings.
_FILLED_IN = re.compile(r"__|[{}|]|<\s*\w+\s*:|\bembedding\s*:", re.IGNORECASE)
_STARRED = re.compile(r"\w[*•·]+\w")
# Addresses, and words with hidden letters.
_NO_WORD = re.compile(rf"://|www\.|@|{_STARRED.pattern}")
# Laughter, names and slang are unknown in any language, so a message may have some of them.
_MIN_UNKNOWN = 3
_MIN_STEM = 3
_MAX_SAMPLE = 40
_MIN_FOREIGN_LETTERS = 2


def unknown_words(text: str, *, besides: Collection[str] = ()) -> list[str]:
    """Return the words of a text that no dictionary has, each once.

    `besides` are texts whose words are known, such as the name of the persona.
    """
    own = {word.lower() for each in besides for word in _words(each)}
    return [word for word in _words(text) if word.lower() not in own and not _is_known(word)]


def is_english(word: str) -> bool:
    """Whether a word in small letters is in the English dictionary."""
    return word in _english()


def has_placeholder(text: str) -> bool:
    """Whether a host may put something else in the place of a part of a text, as of `__colour__`."""
    return _FILLED_IN.search(text) is not None


def is_readable(text: str, *, besides: Collection[str] = ()) -> bool:
    """Whether a text may be drawn as it stands: its words are written out, and all are known."""
    if has_placeholder(text) or _STARRED.search(text):
        return False
    return not unknown_words(text, besides=besides)


def is_foreign(text: str) -> bool:
    """Whether a message is in a language or a script that the screen cannot read.

    More than half of its words are unknown in any reading, and three at least.
    """
    letters = unicodedata.normalize("NFKC", text)
    if sum(map(_is_of_another_script, letters)) >= _MIN_FOREIGN_LETTERS:
        return True
    chunks = [each for each in text.split() if not _NO_WORD.search(each)]
    in_small_letters = [each for each in chunks if not each.istitle()]
    if 2 * len(in_small_letters) > len(chunks):  # not a text of names only
        chunks = in_small_letters
    words = _words(" ".join(chunks))
    unknown = [word for word in words if not _is_known(word)]
    if len(unknown) < _MIN_UNKNOWN or 2 * len(unknown) <= len(words):
        return False
    sample = unknown[:_MAX_SAMPLE]
    foreign = sum(not _has_known_reading(word) for word in sample)
    return foreign >= _MIN_UNKNOWN and 2 * foreign > len(sample)


def _words(text: str) -> list[str]:
    composed = unicodedata.normalize("NFC", visible(text)).replace("’", "'")
    return [*dict.fromkeys(_WORD.findall(composed))]


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _is_known(word: str) -> bool:
    letters = word.strip(_DIGITS)
    if not letters or (letters != word and len(letters) <= _MAX_UNIT):
        return True
    lowered = letters.lower()
    if lowered in _known() or morphology.is_known(lowered):
        return True
    if letters[0].isupper() and not _known().isdisjoint({lowered.capitalize(), letters.upper()}):
        return True
    return any(map(_is_known, _stems(letters)))


def _stems(word: str) -> list[str]:
    """Return what an English word may be formed from: Anna's, light-hearted, fair-haired."""
    if word.endswith("'s"):
        return [word[:-2]]
    if word.endswith("ed") and len(word) > _MIN_STEM + 2:
        return [word[:-2], word[:-1]]
    return []


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _has_known_reading(word: str) -> bool:
    return all(
        any(map(_is_known, (*read.readings, *(each.capitalize() for each in read.readings))))
        for sentence in sentences(word)
        for read in sentence.words
    )


@functools.lru_cache(maxsize=5_000)
def _is_of_another_script(character: str) -> bool:
    name = unicodedata.name(character, "")
    return character.isalpha() and not name.startswith(("LATIN ", "CYRILLIC ", "MODIFIER "))


@functools.cache
def _english() -> frozenset[str]:
    return frozenset(
        files("imagegen.safety").joinpath("words", "english.txt").read_text("utf-8").split()
    )


@functools.cache
def _known() -> frozenset[str]:
    return _english() | frozenset(shipped_lexicon("known")["words"])
