"""Ages that a sentence or a prompt mentions, in digits and words, Russian and English; pure."""

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from imagegen import morphology
from imagegen.safety import (
    age_birth,
    age_context,
    age_english,
    age_relations,
    age_russian,
    age_school,
    age_subject,
    age_things,
    number_meaning,
)
from imagegen.safety.age_context import ADULT, Forms, NumberContext, word_set
from imagegen.safety.age_subject import Person
from imagegen.safety.normalise import NormalisedSentence

_TEENS = range(10, ADULT)
_MAX_AGE = 120

# With these words beside 18, somebody is not yet, almost or just 18, and counts as 17.
_NOT_YET = word_set(
    "under below turn turns before not never isn aren yet almost nearly barely just only soon freshly newly"
    " fresh til till until will won ll younger less"
    " нет не нету до младше моложе меньше почти скоро едва только недавно будет быть исполниться"
    " исполнится достигнуть достичь"
)
_UNTIL = word_set("до until till")
_DENIALS = word_set("no nope nah not")
_ARTICLES = word_set("a an the two this that")
_AGO = word_set("ago назад")
_LONG_AGO = 10
_MONTHS = word_set("month months месяц мес")
_PARTS_OF_YEARS = word_set("month months месяц мес day days день week weeks неделя")
_BY = word_set("на by younger older младше старше моложе senior junior")
_ABOUT_AGE = word_set("age agewise возраст возраста возрасте годах")
_LATELY = word_set(
    "не еще ещё только недавно вчера сегодня завтра скоро почти едва ток нет позавчера"
)
_PAST = word_set("was were when ago было был была когда назад")

# Things that have a number, as in `room 7`.
_NUMBERED = word_set(
    "number no nr room chapter page size gate platform version bus tram route level floor track"
    " street line apartment step row table seat exit pier terminal"
)
# Beside these words, a small number is a time or a setting of a camera.
_MEASURED = word_set(
    "clock clocks watch oclock am pm time timer alarm dial thermometer degrees lens aperture mm iso"
    " bokeh ratio aspect"
)
# A smaller number counts something more often; in a prompt so does any of one digit.
_MIN_BARE_AGE, _MIN_DRAWN_AGE = 3, 10
_YEAR_WORDS = word_set("year years yr yrs y old yo ish год лет годик")
_TIMES_OF_DAY = word_set("morning afternoon evening night")


@dataclass(frozen=True, kw_only=True, slots=True)
class Age:
    """An age in years, and the grammatical person of whose it is: of the speaker if of nobody else.

    `is_past`: somebody was of this age long ago. `is_certain` is False if the number is only not
    understood to be something else. `is_said`: a word for a person says whose it is.
    """

    years: int
    person: Person
    is_past: bool = False
    is_certain: bool = True
    is_said: bool = True

    @property
    def is_minor(self) -> bool:
        """Whether it is the age of a minor."""
        return 0 < self.years < ADULT

    @property
    def is_grown(self) -> bool:
        """Whether it is the age of an adult."""
        return self.is_certain and ADULT <= self.years < _MAX_AGE

    @property
    def is_of_speaker(self) -> bool:
        """Whether a word says that it is the present age of the speaker."""
        return self.is_said and self.person is Person.FIRST and not self.is_past

    @property
    def is_own(self) -> bool:
        """Whether it is the present age of the speaker or of the one spoken to."""
        return self.person in (Person.FIRST, Person.SECOND) and self.is_certain and not self.is_past


def ages_in(
    sentence: NormalisedSentence, today: dt.date, *, named_before: Forms = frozenset()
) -> Iterator[Age]:
    """Yield each number of a sentence that is read as somebody's age.

    `today` is for years of birth; `named_before` are the things that the sentence before names.
    """
    contexts = age_context.numbers_in(sentence)
    is_about_age = bool(contexts) and _is_about_age(sentence)
    for context in contexts:
        if (years := _years(context, today, named_before)) is not None:
            yield _age(context, years)
        elif (is_about_age and _may_be_a_teens(context)) or _is_not_understood(
            context, today, named_before
        ):
            is_certain = bool(context.word_after & age_english.SHORT_YEARS)
            yield replace(_age(context, 1), is_certain=is_certain)
    for context, years in age_relations.relative_ages(contexts):
        yield _age(context, years)


def is_born_years_ago(sentence: NormalisedSentence) -> bool:
    """Whether somebody was born so many years ago that they are a minor."""
    return any(
        0 < context.value < ADULT
        and context.word_after & _YEAR_WORDS
        and context.second_after & _AGO
        and any(map(age_birth.is_said, sentence.words))
        for context in age_context.numbers_in(sentence)
    )


def is_long_ago(sentence: NormalisedSentence) -> bool:
    """Whether a sentence speaks of ten or more years ago, or of what somebody did as an adult."""
    return any(
        (context.value >= _LONG_AGO and context.near(_AGO, after=3))
        or (ADULT < context.value < _MAX_AGE and context.word_before & {"at"} and not context.after)
        for context in age_context.numbers_in(sentence)
    )


def names_grown_years(sentence: NormalisedSentence) -> bool:
    """Whether a number of a sentence may be the age of an adult, of which a part is told."""
    return any(ADULT <= each.value < _MAX_AGE for each in age_context.numbers_in(sentence))


def minors(sentence: NormalisedSentence, today: dt.date) -> list[Age]:
    """Return the ages below 18 that a sentence mentions."""
    return [age for age in ages_in(sentence, today) if age.is_minor]


def may_draw_minor(sentence: NormalisedSentence, today: dt.date) -> bool:
    """Whether a sentence of a prompt may give somebody an age below 18.

    This is stricter than for a conversation: a bare number is an age, unless it counts something or
    is the number of something.
    """
    return any(
        0 < context.value < ADULT and _may_be_age(context)
        for context in age_context.numbers_in(sentence)
    ) or any(age.is_certain for age in minors(sentence, today))


def _age(context: NumberContext, years: int) -> Age:
    is_third = context.word_before & _ARTICLES or (
        context.before
        and (context.before[0] & _ARTICLES or morphology.is_name(context.words_before[0]))
    )
    nobody = Person.THIRD if is_third else Person.FIRST
    is_past = context.near(_PAST, before=6) and not age_birth.is_near_birth(context)
    said = age_subject.person_of(context)
    return Age(years=years, person=said or nobody, is_past=is_past, is_said=said is not None)


def _years(context: NumberContext, today: dt.date, named_before: Forms) -> int | None:
    if (grade := age_school.age_in_grade(context)) is not None:
        return grade
    if (years := age_birth.years_old_at_graduation(context, today)) is not None:
        return years
    is_of_somebody = age_subject.person_of(context) is not None
    years = age_birth.years_old(context, today, is_of_somebody=is_of_somebody)
    is_birth = years is not None and age_birth.is_near_birth(context)
    if _is_until_majority(context):
        return context.value - 1
    is_difference = context.near(_BY, before=1, after=3) and age_relations.is_difference(context)
    is_age = context.value <= _MAX_AGE and _is_age(context)
    is_age = is_age and (context.value > 1 or bool(context.word_after & _YEAR_WORDS))
    if years is None and (context.number.is_age or (is_age and not is_difference)):
        years = context.value
    if years is None or age_things.is_of_a_thing(
        context, named_before=named_before, is_birth=is_birth
    ):
        return None
    if is_birth is False and context.word_after & _PARTS_OF_YEARS:
        return max(1, years // 12 if context.word_after & _MONTHS else years // 365)
    is_denied = context.word_after & {"but"} and context.second_after & _DENIALS
    is_not_yet = years == ADULT and (is_denied or context.near(_NOT_YET, before=4, after=3))
    is_not_yet = is_not_yet or (years == ADULT and age_english.is_to_come(context))
    return years - 1 if is_not_yet and not _has_come(context) else years


def _is_until_majority(context: NumberContext) -> bool:
    """Whether years are left until somebody is 18: "до 18 мне полтора года"."""
    return (
        context.value == ADULT
        and bool(context.word_before & _UNTIL)
        and context.near(_YEAR_WORDS | {"полгода"}, before=5, after=4)
        and age_subject.person_of(context) is not None
    )


def _is_age(context: NumberContext) -> bool:
    return age_english.is_age(context) or age_russian.is_age(context)


def _has_come(context: NumberContext) -> bool:
    """Whether somebody has come of age: "мне 18 исполнилось прошлой весной", "тебе есть 18"."""
    words = {*context.words_before[-3:], *context.words_after[:3]}
    return bool(words & {"исполнилось", "стукнуло", "есть", "было"}) and not words & _LATELY


def _is_about_age(sentence: NormalisedSentence) -> bool:
    """Whether a sentence says of a number in it that it is an age: "that's my age"."""
    words = [word.plain for word in sentence.words]
    return not _ABOUT_AGE.isdisjoint(words) or ("how", "old") in itertools.pairwise(words)


def _may_be_a_teens(context: NumberContext) -> bool:
    return (
        context.value in _TEENS
        and not context.number.is_ordinal
        and not context.is_counted(age_english.UNITS | age_russian.UNITS, until=age_english.UNTIL)
        and not age_things.is_of_a_thing(context)
    )


def _is_not_understood(context: NumberContext, today: dt.date, named_before: Forms) -> bool:
    """Whether nothing says that a number is something else than the age of a minor."""
    if today.year - ADULT <= context.value <= today.year:
        return not number_meaning.is_other_year(context)
    if age_birth.is_short_year(context):
        return not number_meaning.is_other_year(context)
    if not 0 < context.value < ADULT or age_relations.is_difference(context):
        return False
    is_years = bool(context.word_after & _YEAR_WORDS)
    if not is_years and context.value < _MIN_BARE_AGE:
        return False
    if age_things.is_of_a_thing(context, named_before=named_before):
        return False
    return not (
        number_meaning.is_span(context) if is_years else number_meaning.is_understood(context)
    )


def _may_be_age(context: NumberContext) -> bool:
    """Whether nothing indicates that the number is something else than an age."""
    if context.word_after & _YEAR_WORDS:
        return True
    is_other = context.number.is_ordinal or context.number.is_plural
    if is_other or _is_small_number(context):
        return False
    if (
        context.word_before & _NUMBERED
        or context.near(_MEASURED, before=4, after=4)
        or _is_time(context)
    ):
        return False
    return not context.is_counted(age_english.UNITS, until=age_english.UNTIL)


def _is_time(context: NumberContext) -> bool:
    is_at = context.word_before & {"at", "until", "till", "past", "to", "around"}
    return bool(is_at) and context.near(_TIMES_OF_DAY, after=4)


def _is_small_number(context: NumberContext) -> bool:
    # "one of them", "two red cups", "a three quarter portrait", "she is the one"
    if context.value == 1 or context.word_before & {"for"}:  # a table for two
        return True
    return (
        context.value < _MIN_DRAWN_AGE
        and bool(context.after)
        and not context.word_after & age_english.UNTIL
    )
