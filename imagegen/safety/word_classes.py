"""Classes of English words, from WordNet: things, animals, persons, professions and verbs; pure."""

import functools
from collections.abc import Iterator
from importlib.resources import files

from imagegen import morphology

_MIN_STEM = 3
# WordNet has them as nouns and verbs; in talk they are neither.
_ANSWERS = frozenset({"yes", "yep", "nope", "thanks", "thx"})


def is_thing(word: str) -> bool:
    """Whether an English noun, in the singular or the plural, means a thing and never a person."""
    return word not in _ANSWERS and not _words("things").isdisjoint(morphology.lemmas(word))


def is_animal(word: str) -> bool:
    """Whether an English noun, in the singular or the plural, means an animal."""
    return not _words("animals").isdisjoint(morphology.lemmas(word))


def is_person(word: str) -> bool:
    """Whether an English noun, in the singular or the plural, mostly means a person."""
    return not _words("persons").isdisjoint(morphology.lemmas(word))


def professions() -> frozenset[str]:
    """Return the English nouns for people by their work or marriage."""
    return _words("professions")


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def is_verb(word: str) -> bool:
    """Whether an English word is mostly a verb, in any form, and says more than `be` or `turn`."""
    if not word.isascii() or word in _ANSWERS:
        return False
    return not _words("verbs").isdisjoint(_verb_stems(word))


def _verb_stems(word: str) -> Iterator[str]:
    yield word
    for ending in ("s", "es", "ed", "d", "ing"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= _MIN_STEM:
            yield stem
            yield f"{stem}e"
            if stem[-1] == stem[-2]:  # planned
                yield stem[:-1]
    if word.endswith(("ied", "ies")):
        yield f"{word[:-3]}y"


@functools.cache
def _words(name: str) -> frozenset[str]:
    text = files("imagegen.safety").joinpath("words", "wordnet.txt").read_text("utf-8")
    section = text.partition(f"[{name}]\n")[2].partition("[")[0]
    return frozenset(section.split())
