"""Whether the words of a sentence together speak of a minor, by weights learnt from open lists; pure.

It sees what no single rule knows: "mom will come check if I'm in bed". The weights are those of a
logistic regression over words, pairs of neighbouring words, topics and pairs of topics. They are
learnt by `python -m tests.unit.safety.learn_words`, which is to be run after a change of the lists
or of the lexicon.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from importlib.resources import files

from imagegen import morphology
from imagegen.safety import numbers
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord

BIAS = "bias"
# Of the lines that it was not learnt from, about one harmless one in a hundred has a higher score.
_THRESHOLD = 1.6
_START, _END = "^", "$"
_NUMBERS = ((3, "#few"), (10, "#digit"), (18, "#teens"), (19, "#eighteen"), (100, "#grown"))
_BIRTHS_OF_MINORS = range(2008, 2030)


def speak_of_a_minor(sentence: NormalisedSentence, topics: AbstractSet[str]) -> bool:
    """Whether the words of a sentence and its topics of the lexicon together mean a minor."""
    weights = _weights()
    known = [weights[each] for each in features(sentence, topics) if each in weights]
    return weights[BIAS] + math.fsum(known) / math.sqrt(max(1, len(known))) > _THRESHOLD


def features(sentence: NormalisedSentence, topics: AbstractSet[str]) -> frozenset[str]:
    """Return what of a sentence has a weight."""
    words = [_word(word) for word in sentence.words]
    pairs = itertools.pairwise((_START, *words, _END))
    return frozenset((*words, *map(" ".join, pairs), *_topics(topics)))


def _topics(topics: AbstractSet[str]) -> Iterator[str]:
    names = sorted(topics)
    yield from (f"<{name}>" for name in names)
    yield from (f"<{one}> <{other}>" for one, other in itertools.combinations(names, 2))


def _word(word: NormalisedWord) -> str:
    number = numbers.number_of(word)
    return morphology.lemmas(word.plain)[0] if number is None else _kind(number.value)


def _kind(number: int) -> str:
    if number in _BIRTHS_OF_MINORS:
        return "#birth"
    return next((kind for below, kind in _NUMBERS if number < below), "#many")


@functools.cache
def _weights() -> dict[str, float]:
    text = files("imagegen.safety").joinpath("words", "learnt.txt").read_text("utf-8")
    pairs = (line.split(" ", 1) for line in text.splitlines() if line[:1] != "%")
    return {feature: float(weight) for weight, feature in pairs}
