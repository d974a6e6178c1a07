"""Ages that are said by another number: "19, and I'm four years younger", "in 3 years I'll be 18"; pure."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagegen.safety import age_birth, age_context, age_subject
from imagegen.safety.age_context import ADULT, Forms, NumberContext, word_set
from imagegen.safety.age_subject import Person
from imagegen.safety.normalise import NormalisedSentence

_YEARS: Forms = word_set("year years yr yrs год лет годик зима весна winter winters summer summers")
_MONTHS: Forms = word_set("month months week weeks day days месяц неделя день")
_YOUNGER: Forms = word_set("younger junior младше моложе младший молодой youngest")
_LATER: Forms = word_set("later позже")
_OLDER: Forms = word_set("older senior старше старший")
_IN: Forms = word_set("in within через спустя another еще")
_TO: Forms = word_set(
    "before until till to away short shy off from under до осталось остаться left"
)
_BE: Forms = word_set(
    "be become turn turns turning reach hit am i ll will быть стать исполниться исполняться стукнуть"
    " до достичь мне ему ей тебе"
)
_FIRST_YEAR = 1000
_MAX_AGE = 45
_MIN_AGE_TO_COME = 14
_MAX_AGE_TO_COME = 30
_MAX_DIFFERENCE = 40
_MAX_WORDS_BETWEEN = 14
_MAX_MOTHER = 60
_GAVE_BIRTH: Forms = word_set("родить рожать birth had have")
# "She was 24 when I was born", "when she had me".
_WAS: Forms = word_set("was were")
_WHEN: Forms = word_set("when")
_BORN: Forms = word_set("born had birthed")
_YEARS_AGO: Forms = word_set("ago back назад")
_THAN_ME: Forms = word_set("me i mine меня")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """By how many years `person` is younger than somebody; `is_of_speaker` if that is the speaker."""

    years: int
    person: Person
    is_of_speaker: bool

    def makes_a_minor(self, age: int, whose: Person) -> bool:
        """Whether somebody is below 18 who is so much younger than one of this age."""
        # Who is older than the speaker is not the speaker.
        is_own = self.is_of_speaker and whose is Person.FIRST
        return 0 < age - self.years < ADULT and age <= _MAX_AGE and not is_own


def differences(sentence: NormalisedSentence) -> Iterator[Difference]:
    """Yield the differences of age that a sentence mentions, of those younger than somebody."""
    for context in age_context.numbers_in(sentence):
        if not is_difference(context):
            continue
        is_older = context.near(_OLDER, before=4, after=6)
        if not is_older:
            yield Difference(
                years=context.value,
                person=age_subject.person_of(context) or Person.FIRST,
                is_of_speaker=False,
            )
        elif context.near(_THAN_ME, before=4, after=6):
            yield Difference(years=context.value, person=Person.FIRST, is_of_speaker=True)


def relative_ages(contexts: Sequence[NumberContext]) -> Iterator[tuple[NumberContext, int]]:
    """Yield the numbers of a sentence that give an age together with another, and this age."""
    for one, other in itertools.permutations(contexts[:8], 2):
        if abs(one.at - other.at) > _MAX_WORDS_BETWEEN:
            continue
        if (years := _age_in_a_story(one, other)) is not None:
            yield one, years
        if (years := _age_by_mother(one, other)) is not None:
            yield one, years
        if one.number.is_ordinal:
            continue
        if (years := _age_by_difference(one, other)) is not None:
            yield one, years
        elif (years := _age_to_come(one, other)) is not None:
            yield other, years


def is_difference(context: NumberContext) -> bool:
    """Whether the number says how many years somebody is younger or older than somebody else."""
    is_counted = context.word_before & {"на", "by"} or context.near(_YEARS, after=2)
    is_compared = context.near(_YOUNGER | _OLDER, before=4, after=6) or (
        context.near(_LATER, after=3) and age_birth.is_near_birth(context)
    )
    return bool(is_counted) and is_compared and 0 < context.value < _MAX_DIFFERENCE


def _age_by_difference(difference: NumberContext, reference: NumberContext) -> int | None:
    if not 0 < reference.value - difference.value < reference.value <= _MAX_AGE:
        return None
    is_of_older = difference.near(_OLDER, before=4, after=6) and difference.near(
        _THAN_ME, before=4, after=6
    )
    if is_of_older and age_subject.person_of(reference) is Person.FIRST:
        return None  # "she is ten years older than me, and I'm 29"
    return reference.value - difference.value if is_difference(difference) else None


def _age_in_a_story(birth: NumberContext, year: NumberContext) -> int | None:
    """Return the age in a year that is told too of somebody born long ago."""
    is_after = _FIRST_YEAR < birth.value < year.value < birth.value + ADULT
    return year.value - birth.value if is_after and age_birth.is_near_birth(birth) else None


def _age_by_mother(birth: NumberContext, now: NumberContext) -> int | None:
    """Return the age of whose mother gave birth at one age and is now of another."""
    is_birth = birth.word_before & {"в", "at"} and birth.near(_GAVE_BIRTH, before=6)
    is_birth = is_birth or (
        birth.near(_WAS, before=3)
        and (birth.word_after & {"when"} or birth.near(_WHEN, before=4))
        and birth.near(_BORN, before=6, after=4)
    )
    is_age = birth.value < now.value <= _MAX_MOTHER and not now.near(_YEARS_AGO, after=3)
    is_minor = is_age and now.value - birth.value < ADULT
    return now.value - birth.value if is_birth and is_minor else None


def _age_to_come(span: NumberContext, age: NumberContext) -> int | None:
    """Return the present age of who will be `age` after `span`, or None."""
    if not _MIN_AGE_TO_COME <= age.value <= _MAX_AGE_TO_COME or span.value >= age.value:
        return None
    is_to_come = age.near(_BE, before=8, after=3) or age.word_after & {"in", "через"}
    is_after_span = span.near(_IN, before=2) or span.near(_TO | {"more"}, before=1, after=4)
    if not is_to_come or not is_after_span:
        return None
    if span.word_after & _MONTHS:
        return age.value - 1
    return age.value - span.value if span.near(_YEARS, after=2) else None
