"""The parts of a sentence that ask for nothing: what is said beside a request; pure."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety import rules
from imagegen.safety.age_context import word_set
from imagegen.safety.age_subject import MAX_INTRODUCTION, Person, is_introduction, person_meant
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord
from imagegen.safety.numbers import forms_of, number_of

# With one of these, with a comma before it or without, somebody begins to speak of themselves.
_OF_SPEAKER = word_set("i im ive btw я кстати")
_YEARS = word_set("лет годиков года год л years year yrs yr yo y o old")
_MINE, _AGE = word_set("my мой"), word_set("age возраст")
# A phrase that asks for something has at most so many words.
_MAX_PHRASE = 4


TopicsIn = Callable[[NormalisedSentence], AbstractSet[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """A clause of a user's sentence, and what stands before it in the sentence."""

    said: NormalisedSentence
    before: NormalisedSentence

    def may_be_of_user(self, names: AbstractSet[str], topics_in: TopicsIn) -> bool:
        """Whether the topics of the clause may be said of the user, and not of whom is asked for.

        A clause without a word for the speaker is the user's before a request, and, if it is an age
        in numbers, after one for a photo: "send a selfie, 15 years old".
        """
        if not names & rules.OF_SPEAKER:
            return False
        if self._is_of_speaker() or not self.before.words:
            return True
        asked = topics_in(self.before)
        if asked & rules.ASKED_OF_PERSONA:
            return False
        return bool(names & rules.NUMBERS) or not asked & rules.ASKING

    def _is_of_speaker(self) -> bool:
        first, *others = self.said.words
        return _begins_with_speaker(first, others) or any(
            person_meant(forms_of(word)) is Person.FIRST for word in self.said.words
        )


def clauses_beside(sentence: NormalisedSentence, topics_in: TopicsIn) -> Iterator[Clause]:
    """Yield the clauses of a sentence that asks for a picture, each up to the request.

    `topics_in` returns the topics of some words. Clauses that can mention no minor are left out. A
    clause ends at a pause, before somebody begins to speak of themselves ("draw yourself i'm 15"),
    and before an age at the end of a request.
    """
    start = 0
    for end in _ends(sentence, topics_in):
        clause = _part(sentence, start, end)
        names = topics_in(clause)
        if names & rules.OF_MINORS or any(map(number_of, clause.words)):
            asked = _asked_at(clause, topics_in) if names & rules.REQUESTS else end - start
            if asked:
                yield Clause(said=_part(clause, 0, asked), before=_part(sentence, 0, start))
        start = end


def parts_between_pauses(sentence: NormalisedSentence) -> Iterator[NormalisedSentence]:
    """Yield the parts of a sentence that commas and other pauses separate."""
    start = 0
    for end in sorted({*(at + 1 for at in sentence.ends), len(sentence.words)}):
        yield _part(sentence, start, end)
        start = end


def _asked_at(clause: NormalisedSentence, topics_in: TopicsIn) -> int:
    """Return where the first phrase begins that asks for something."""
    for last in range(len(clause.words)):
        earliest = max(0, last + 1 - _MAX_PHRASE)
        if topics_in(_part(clause, earliest, last + 1)) & rules.REQUESTS:
            return next(
                first
                for first in range(last, earliest - 1, -1)
                if topics_in(_part(clause, first, last + 1)) & rules.REQUESTS
            )
    return len(clause.words)


def _ends(sentence: NormalisedSentence, topics_in: TopicsIn) -> Iterator[int]:
    """Yield the index after each clause."""
    for at, word in enumerate(sentence.words[1:], start=1):
        following = sentence.words[at + 1 :]
        if (
            at - 1 in sentence.ends
            or _begins_with_speaker(word, following)
            or (
                _is_age_at_the_end(word, following)
                and topics_in(_part(sentence, at - 1, at)) & rules.ASKING
            )
        ):
            yield at
    yield len(sentence.words)


def _is_age_at_the_end(word: NormalisedWord, following: Sequence[NormalisedWord]) -> bool:
    """Whether a number and no more than a word for years end a sentence: "(пришли фото) 15 лет"."""
    return number_of(word) is not None and {each.plain for each in following} <= _YEARS


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
