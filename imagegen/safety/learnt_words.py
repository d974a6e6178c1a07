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

BIAS, ANSWER = "bias", "<answer>"
# Of 5,010 harmless lines of talk that it was not learnt from four have a higher score, and of 28,607
# that were written to look like mentions 142; of 3,242 harmless answers nine.
_THRESHOLD, _THRESHOLD_OF_ANSWERS = 1.2, 1.4
_NO_AGE, _NO_AGE_IN_ANSWER = -2.5, -1.25
_MIN_WORDS, _FEW_WORDS = 3, 4
_START, _END, _NUMBER, _BEGINNING = "^", "$", "#", "~"
_STEM = 5  # letters
# A number stands for all from one of these to below the next.
_NUMBERS = (0, 3, 10, 18, 21, 100, 1000, 1900, 2000, 2009, 2100)


def speak_of_a_minor(sentence: NormalisedSentence, weighed: AbstractSet[str]) -> bool:
    """Whether the words of a sentence, of which these features are weighed, together mean a minor.

    Sentences of one or two words are for the rules alone.
    """
    return len(sentence.words) >= _MIN_WORDS and score(weighed, weights()) > _THRESHOLD


def tell_no_age(sentence: NormalisedSentence, weighed: AbstractSet[str]) -> bool:
    """Whether a number that may be an age is none by the words of its sentence.

    That holds for uncertain numbers only: beside words of an adult's life a child is still a child.
    """
    return len(sentence.words) >= _MIN_WORDS and score(weighed, weights()) < _NO_AGE


def answer_as_a_minor(asked: AbstractSet[str], answered: AbstractSet[str]) -> bool:
    """Whether a question and the answer to it, given by their features, together mean a minor."""
    return score(answer_features(asked, answered), weights()) > _THRESHOLD_OF_ANSWERS


def answer_tells_no_age(asked: AbstractSet[str], answered: AbstractSet[str]) -> bool:
    """Whether a number in an answer that may be an age is none, by the question and the answer."""
    return score(answer_features(asked, answered), weights()) < _NO_AGE_IN_ANSWER


def features(sentence: NormalisedSentence, topics: AbstractSet[str]) -> frozenset[str]:
    """Return what of a sentence has a weight."""
    words = [*_readings_of_words(sentence)]
    pairs = itertools.pairwise((_START, *(word[0] for word in words), _END))
    return frozenset(
        (*itertools.chain.from_iterable(words), *map(" ".join, pairs), *_topics(topics))
    )


def answer_features(asked: AbstractSet[str], answered: AbstractSet[str]) -> frozenset[str]:
    """Return what of an answer has a weight, beside the question before it.

    These are the features of the answer, the words of the question, and each of these together with
    each number of the answer; if the answer is short, with each word of it.
    """
    of_question = [each for each in asked if _is_single(each)]
    of_answer = [each for each in answered if _is_single(each)]
    if sum(each[0] != "<" for each in of_answer) > _FEW_WORDS:
        of_answer = [each for each in of_answer if each[0] == _NUMBER]
    return frozenset(
        (
            ANSWER,
            *answered,
            *(f"?{each}" for each in of_question),
            *(f"?{one} {other}" for one, other in itertools.product(of_question, of_answer)),
        )
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
    return (lemma, f"{_BEGINNING}{lemma[:_STEM]}") if len(lemma) > _STEM else (lemma,)


def _class_of(number: Number) -> str:
    least = _NUMBERS[bisect.bisect_right(_NUMBERS, number.value) - 1]
    return f"{_NUMBER}{least}{'th' if number.is_ordinal else ''}"


def _is_single(feature: str) -> bool:
    """Whether a feature is a whole word, a number or a topic, and no pair."""
    return " " not in feature and feature[0] != _BEGINNING


def _topics(topics: AbstractSet[str]) -> Iterator[str]:
    names = sorted(topics)
    yield from (f"<{name}>" for name in names)
    yield from (f"<{one}> <{other}>" for one, other in itertools.combinations(names, 2))
