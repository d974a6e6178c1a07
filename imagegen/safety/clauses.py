"""The parts of a sentence that ask for nothing: what is said beside a request; pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety.age_context import word_set
from imagegen.safety.age_subject import MAX_INTRODUCTION, Person, is_introduction, person_meant
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord
from imagegen.safety.numbers import forms_of, number_of

# With one of these, with a comma before it or without, somebody begins to speak of themselves.
_OF_SPEAKER = word_set("i im ive btw я кстати")
_MINE, _AGE = word_set("my мой"), word_set("age возраст")
# A phrase that asks for something has at most so many words.
_MAX_PHRASE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """A clause of a sentence, and the words of the sentence before it."""

    said: NormalisedSentence
    before: NormalisedSentence

    @property
    def is_of_speaker(self) -> bool:
        """Whether somebody speaks of themselves in so many words."""
        first, *others = self.said.words
        return _begins_with_speaker(first, others) or any(
            person_meant(forms_of(word)) is Person.FIRST for word in self.said.words
        )


def clauses_beside(
    sentence: NormalisedSentence, asks: Callable[[NormalisedSentence], bool]
) -> Iterator[Clause]:
    """Yield the clauses of a sentence, each up to its first phrase that asks for something.

    `asks` tells whether some words have such a phrase. A clause ends at a pause, and before somebody
    begins to speak of themselves: "draw yourself i'm 15", "selfie please 15 m here".
    """
    start = 0
    for end in _ends(sentence):
        asked = next(_asked_from(sentence, start, end, asks), end)
        if asked > start:
            yield Clause(said=_part(sentence, start, asked), before=_part(sentence, 0, start))
        start = end


def _asked_from(
    sentence: NormalisedSentence, start: int, end: int, asks: Callable[[NormalisedSentence], bool]
) -> Iterator[int]:
    """Yield where each phrase that asks for something begins."""
    for last in range(start, end):
        for first in range(last, max(start, last + 1 - _MAX_PHRASE) - 1, -1):
            if asks(_part(sentence, first, last + 1)):
                yield first
                break


def _ends(sentence: NormalisedSentence) -> Iterator[int]:
    """Yield the index after each clause."""
    for at, word in enumerate(sentence.words[1:], start=1):
        if at - 1 in sentence.ends or _begins_with_speaker(word, sentence.words[at + 1 :]):
            yield at
    yield len(sentence.words)


def _begins_with_speaker(word: NormalisedWord, after: Sequence[NormalisedWord]) -> bool:
    if word.plain in _OF_SPEAKER or morphology.is_first_person(word.plain):
        return True
    following = [each.plain for each in after[:MAX_INTRODUCTION]]
    if word.plain in _MINE:
        return not _AGE.isdisjoint(following[:1])
    return number_of(word) is not None and is_introduction(following)


def _part(sentence: NormalisedSentence, start: int, end: int) -> NormalisedSentence:
    ends = frozenset(at - start for at in sentence.ends if start <= at < end)
    return NormalisedSentence(words=sentence.words[start:end], glued=(), ends=ends)
