"""Whether the words of a sentence together speak of a minor, by weights learnt from open lists; pure.

It sees what no single rule knows: "my mom does not know I have this account". The weights are those of a
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
from imagegen.safety.normalise import NormalisedSentence

BIAS = "bias"
# Of 416 harmless lines that it was not learnt from, none that was clear before has a higher score.
_THRESHOLD = 1.2
_MIN_WORDS = 3
_START, _END = "^", "$"


def speak_of_a_minor(sentence: NormalisedSentence, topics: AbstractSet[str]) -> bool:
    """Whether the words of a sentence and its topics of the lexicon together mean a minor.

    Sentences with a number, and those of one or two words, are for the rules alone.
    """
    if len(sentence.words) < _MIN_WORDS or any(map(numbers.number_of, sentence.words)):
        return False
    weights = _weights()
    known = [weights[each] for each in features(sentence, topics) if each in weights]
    return weights[BIAS] + math.fsum(known) / math.sqrt(max(1, len(known))) > _THRESHOLD


def features(sentence: NormalisedSentence, topics: AbstractSet[str]) -> frozenset[str]:
    """Return what of a sentence has a weight."""
    words = [morphology.lemmas(word.plain)[0] for word in sentence.words]
    pairs = itertools.pairwise((_START, *words, _END))
    return frozenset((*words, *map(" ".join, pairs), *_topics(topics)))


def _topics(topics: AbstractSet[str]) -> Iterator[str]:
    names = sorted(topics)
    yield from (f"<{name}>" for name in names)
    yield from (f"<{one}> <{other}>" for one, other in itertools.combinations(names, 2))


@functools.cache
def _weights() -> dict[str, float]:
    text = files("imagegen.safety").joinpath("words", "learnt.txt").read_text("utf-8")
    pairs = (line.split(" ", 1) for line in text.splitlines() if line[:1] != "%")
    return {feature: float(weight) for weight, feature in pairs}
