"""Whose age a number is: of the speaker, of the one spoken to, of somebody else, or of a thing; pure."""

import enum
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from imagegen import morphology
from imagegen.safety.age_context import Forms, NumberContext, word_set
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence
from imagegen.safety.numbers import forms_of

Role = str
USER, PERSONA = "user", "persona"

# A sentence of more words without a person is no "fifteen, sorry" but "a schoolboy at a bus stop".
_MAX_ELLIPSIS = 4
_ARTICLES = word_set("a an the")
_BEFORE_A_PUPIL = word_set("just still only a an high middle school еще пока просто")
_PUPILS = word_set(
    "школьник школьница подросток ученик ученица тинейджер восьмиклассник восьмиклассница teen teenager"
    " tween schoolgirl schoolboy pupil freshman sophomore junior minor schooler"
)
_CHARACTERS = word_set("character persona персонаж персона герой героиня hero heroine роль role")
# Who introduces themselves: "15 m here", "as a 15 year old".
_HERE, _SHOWN = word_set("here тут здесь"), word_set("the this that")
_UNTIL_HERE = word_set(
    "year years yr yrs y o yo old летний летняя лет год года f m male female girl boy guy gal lad kid"
    " teen student schoolgirl schoolboy девочка мальчик парень девушка пацан школьник школьница"
)
MAX_INTRODUCTION = 6
_AS_SPEAKER = {"as", "speaking as", "just as", "even as", "asking as"}
_MAX_DISTANCE = 7
_MAX_DISTANCE_AFTER = 5


NO_PERSONS = word_set("on was")
_DESCRIBED = {("i", "am"), ("i", "m"), ("you", "are"), ("you", "re")}


class Person(enum.Enum):
    """The grammatical person of a mention."""

    FIRST = 1
    SECOND = 2
    THIRD = 3


class Subject(enum.StrEnum):
    """Who is meant with a mention of a minor."""

    USER = "user"
    PERSONA = "persona"
    THIRD = "third"


def subject_of(person: Person, role: Role) -> Subject:
    """Return who is meant by a grammatical person in a message of the user or of the persona."""
    match person:
        case Person.FIRST:
            return Subject(role)
        case Person.SECOND:
            return Subject.PERSONA if role == USER else Subject.USER
        case Person.THIRD:
            return Subject.THIRD
        case _:
            assert_never(person)


def person_in(sentence: NormalisedSentence) -> Person | None:
    """Return the grammatical person of whom a sentence speaks first; None if of nobody."""
    forms = [forms_of(word) for word in sentence.words]
    people = [
        person
        for each, person in zip(forms, _persons(forms), strict=True)
        if person and not _is_they(each)
    ]
    return _first(people) or _first(map(_owner, forms)) or _first(map(person_meant, forms))


def person_said(sentence: NormalisedSentence) -> Person:
    """Return the grammatical person of whom a sentence speaks, that of an ellipsis by its form."""
    if _begins_with_a_pupil(sentence):
        return Person.FIRST
    if (person := person_in(sentence)) is not None:
        return person
    words = [word.plain for word in sentence.words]
    is_of_speaker = len(words) <= _MAX_ELLIPSIS or any(map(morphology.is_first_person, words))
    return Person.FIRST if is_of_speaker and words[0] not in _ARTICLES else Person.THIRD


def _begins_with_a_pupil(sentence: NormalisedSentence) -> bool:
    """Whether somebody introduces themselves without a verb: "schoolgirl here", "обычный подросток"."""
    for at, word in enumerate(sentence.words[:4]):
        if forms_of(word) & _PUPILS:
            return not (at and sentence.words[at - 1].plain == "the")
        is_before = word.plain in _BEFORE_A_PUPIL or morphology.is_adjective(word.plain)
        if not is_before or (at == 0 and word.plain in _ARTICLES):
            return False
    return False


def is_introduction(words: Sequence[str]) -> bool:
    """Whether words after a number introduce the speaker: "(15) m here", "(15) year old girl here"."""
    said = (word for word in words[:MAX_INTRODUCTION] if not word.isdecimal())
    return next((word for word in said if word not in _UNTIL_HERE), None) in _HERE


def _is_of_speaker(context: NumberContext) -> bool:
    """Whether a number is the speaker's by how it is said: "15 m here", "as a 15 year old"."""
    if is_introduction(context.words_after) and not context.word_before & _SHOWN:
        return True
    *first, last = context.clause_before[-3:] or ("",)
    return last in _ARTICLES and " ".join(first) in _AS_SPEAKER


def _persons(words: Sequence[Forms]) -> Iterator[Person | None]:
    """Yield the person of each word; "my character" is played by the speaker."""
    for before, forms in itertools.pairwise((frozenset[str](), *words)):
        is_own = forms & _CHARACTERS and before & subject_words()["mine"]
        yield Person.FIRST if is_own else person_meant(forms)


def person_of(context: NumberContext) -> Person | None:
    """Return whose a number may be by the nearest word for a person; None if there is no such word."""
    if _is_of_speaker(context):
        return Person.FIRST
    before = [
        forms
        for forms, last in zip(context.before, ("", *context.words_before), strict=False)
        if last != "у"
    ]
    nearby = (*before[: -_MAX_DISTANCE - 1 : -1], *context.after[:_MAX_DISTANCE_AFTER])
    people = [
        *[*_persons(before)][: -_MAX_DISTANCE - 1 : -1],
        *_persons(context.after[:_MAX_DISTANCE_AFTER]),
        *map(person_meant, context.before[::-1]),
    ]
    return _first(people) or _first(map(_owner, nearby))


def person_described(sentence: NormalisedSentence) -> Person | None:
    """Return who is described in "I'm a kid", "you are in middle school", "я ещё ребёнок", or None."""
    if _begins_with_a_pupil(sentence):
        return Person.FIRST
    words = [word.plain for word in sentence.words]
    for word, after in itertools.pairwise(words):
        if (word, after) in _DESCRIBED or word == "im":
            return Person.SECOND if word == "you" else Person.FIRST
    if any(map(morphology.is_verb, words)):
        return None
    return Person.FIRST if "я" in words else Person.SECOND if "ты" in words else None


_CHILDREN = word_set("ребенок дитя child kid minor")
_UNTIL_A_CHILD = word_set(
    "еще пока все a still only just по документам закону паспорту факту legally technically"
)


def is_described_as_child(sentence: NormalisedSentence) -> bool:
    """Whether the speaker or the one spoken to is called a child: "я по документам ещё ребёнок"."""
    person = None
    for word in sentence.words:
        forms = forms_of(word)
        if forms & _CHILDREN and person:
            return True
        if word.plain in {"я", "ты", "i", "you", "im"}:
            person = word.plain
        elif not (word.plain in _UNTIL_A_CHILD or word.plain in {"m", "am", "are", "re"}):
            person = None
    return False


def _first(people: Iterable[Person | None]) -> Person | None:
    return next(filter(None, people), None)


def person_meant(forms: Forms) -> Person | None:
    """Return the grammatical person of a word; None if it means nobody."""
    words = subject_words()
    # The English words "on" and "was" are also read as `он` and `вас`.
    if forms & NO_PERSONS:
        return None
    if forms & words["people"]:
        return Person.THIRD
    if forms & words["first"]:
        return Person.FIRST
    if forms & words["second"]:
        return Person.SECOND
    return Person.THIRD if forms & words["third"] else None


def is_person(forms: Forms) -> bool:
    """Whether a word is a noun for a person."""
    return bool(forms & subject_words()["people"])


def _is_they(forms: Forms) -> bool:
    """Whether a word is "they", who forbid something to somebody else."""
    return bool(forms & {"they", "они"})


def _owner(forms: Forms) -> Person | None:
    words = subject_words()
    if forms & words["mine"]:
        return Person.FIRST
    return Person.SECOND if forms & words["yours"] else None


@functools.cache
def subject_words() -> dict[str, Forms]:
    """Return the words for who or what a number belongs to, by kind."""
    return {name: frozenset(words) for name, words in shipped_lexicon("subjects").items()}
