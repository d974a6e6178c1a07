"""Whose age a number is: of the speaker, of the one spoken to, of somebody else, or of a thing; pure."""

import enum
import functools
from collections.abc import Iterable
from typing import assert_never

from imagegen import morphology
from imagegen.safety.age_context import Forms, NumberContext, word_set
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence
from imagegen.safety.numbers import forms_of

Role = str
USER, PERSONA = "user", "persona"

_MAX_DISTANCE = 7
_MAX_DISTANCE_AFTER = 5
# Between a number and what it is the age of: "a fifteen year old malt", "16-летний виски".
# These stand in questions about people too.
_ASKING = word_set("what which s that this it school class grade story here there это")
_YEAR_WORDS = word_set("year years yr yrs old month months y o летний летн год лет годик")


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
    return _first(map(_person, forms)) or _first(map(_owner, forms))


def is_about_a_thing(sentence: NormalisedSentence) -> bool:
    """Whether a question about an age speaks of a thing and of nobody else."""
    forms_of_words = [(word.plain, forms_of(word)) for word in sentence.words]
    people = _words()["people"] | _words()["third"]
    if any(forms & people for _, forms in forms_of_words):
        return False
    return any(
        (forms & _words()["things"] and word not in _ASKING) or morphology.is_thing_in_dative(word)
        for word, forms in forms_of_words
    )


def person_of(context: NumberContext) -> Person | None:
    """Return whose a number may be by the nearest word for a person; None if there is no such word."""
    nearby = (*context.before[: -_MAX_DISTANCE - 1 : -1], *context.after[:_MAX_DISTANCE_AFTER])
    return _first(map(_person, nearby)) or _first(map(_owner, nearby))


def is_of_a_thing(context: NumberContext) -> bool:
    """Whether the number is the age of a thing, a company or an animal, or a span of time."""
    for word, forms in zip(
        context.words_after[:_MAX_DISTANCE_AFTER], context.after, strict=False
    ):
        if forms & _YEAR_WORDS:
            continue
        if _is_thing(word, forms):
            return True
        if not morphology.is_adjective(word):
            break
    for word, forms in zip(
        context.words_before[: -_MAX_DISTANCE - 1 : -1], context.before[::-1], strict=False
    ):
        if _person(forms):
            return False
        if _is_thing(word, forms):
            return True
    return False


def _first(people: Iterable[Person | None]) -> Person | None:
    return next(filter(None, people), None)


def _is_thing(word: str, forms: Forms) -> bool:
    if forms & _words()["things"]:
        return True
    return morphology.is_inanimate(word) and not forms & _words()["unsaid"]


def _person(forms: Forms) -> Person | None:
    words = _words()
    # The English word "on" is also read as `он`.
    if "on" in forms:
        return None
    if forms & words["people"]:
        return Person.THIRD
    if forms & words["first"]:
        return Person.FIRST
    if forms & words["second"]:
        return Person.SECOND
    return Person.THIRD if forms & words["third"] else None


def _owner(forms: Forms) -> Person | None:
    words = _words()
    if forms & words["mine"]:
        return Person.FIRST
    return Person.SECOND if forms & words["yours"] else None


@functools.cache
def _words() -> dict[str, Forms]:
    return {name: frozenset(words) for name, words in shipped_lexicon("subjects").items()}
