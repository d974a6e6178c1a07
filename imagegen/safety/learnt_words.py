"""Whether the words of a sentence together speak of a minor, by weights learnt from open lists; pure.

It sees what no single rule knows: "my mom does not know I have this account". The weights are those of a
logistic regression over dictionary forms and their beginnings, pairs of neighbouring words, topics
and pairs of topics. They are learnt by `python -m tests.unit.safety.learn_words`,
which is to be run after a change of the lists or of the lexicon.
"""

import bisect
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from importlib.resources import files

from imagegen import morphology
from imagegen.safety import age_context, numbers
from imagegen.safety.normalise import NormalisedSentence
from imagegen.safety.numbers import Number

BIAS = "bias"
# Of 2,077 harmless lines of everyday talk that it was not learnt from, and in which no rule finds
# anything, three have a higher score.
_THRESHOLD, _THRESHOLD_WITH_NUMBER = 0.5, 1.0
_MIN_WORDS = 3
_START, _END = "^", "$"
_STEM = 5  # letters
# A number stands for all from one of these to below the next.
_NUMBERS = (0, 3, 10, 18, 21, 100, 1000, 1900, 2100)


def speak_of_a_minor(sentence: NormalisedSentence, topics: AbstractSet[str]) -> bool:
    """Whether the words of a sentence and its topics together mean a minor.

    Sentences of one or two words are for the rules alone.
    """
    if len(sentence.words) < _MIN_WORDS:
        return False
    threshold = _THRESHOLD_WITH_NUMBER if _has_number(sentence) else _THRESHOLD
    return score(features(sentence, topics), weights()) > threshold


def features(sentence: NormalisedSentence, topics: AbstractSet[str]) -> frozenset[str]:
    """Return what of a sentence has a weight."""
    words = [*_readings_of_words(sentence)]
    pairs = itertools.pairwise((_START, *(word[0] for word in words), _END))
    return frozenset(
        (*itertools.chain.from_iterable(words), *map(" ".join, pairs), *_topics(topics))
    )


def score(features: AbstractSet[str], weights: Mapping[str, float]) -> float:
    """Return the sum of the weights: the logarithm of the odds that a minor is meant."""
    return math.fsum(weights[each] for each in (BIAS, *features) if each in weights)


@functools.cache
def weights() -> dict[str, float]:
    """Return the weights of the file, of what has one."""
    text = files("imagegen.safety").joinpath("words", "learnt.txt").read_text("utf-8")
    # Equal weights are one object: there are a few hundred different ones.
    number = functools.cache(float)
    pairs = (line.split(" ", 1) for line in text.splitlines() if line[:1] != "%")
    return {feature: number(weight) for weight, feature in pairs}


def _readings_of_words(sentence: NormalisedSentence) -> Iterator[tuple[str, ...]]:
    """Yield the dictionary form of each word, then its beginning; of a number its class."""
    if not _has_number(sentence):
        yield from (_readings(word.plain) for word in sentence.words)
        return
    for word in age_context.spoken_words(sentence):
        yield _readings(word.plain) if word.number is None else (_class_of(word.number),)


def _has_number(sentence: NormalisedSentence) -> bool:
    return any(map(numbers.number_of, sentence.words))


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _readings(word: str) -> tuple[str, ...]:
    lemma = morphology.lemmas(word)[0]
    return (lemma, f"~{lemma[:_STEM]}") if len(lemma) > _STEM else (lemma,)


def _class_of(number: Number) -> str:
    least = _NUMBERS[bisect.bisect_right(_NUMBERS, number.value) - 1]
    return f"<{'ordinal' if number.is_ordinal else 'number'} {least}>"


def _topics(topics: AbstractSet[str]) -> Iterator[str]:
    names = sorted(topics)
    yield from (f"<{name}>" for name in names)
    yield from (f"<{one}> <{other}>" for one, other in itertools.combinations(names, 2))
