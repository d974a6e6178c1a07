"""Ages from a year of birth, and from the year in which somebody finishes school; pure."""

import datetime as dt

from imagegen.safety.age_context import Forms, NumberContext, word_set
from imagegen.safety.normalise import NormalisedWord
from imagegen.safety.numbers import forms_of

_BIRTH: Forms = word_set(
    "born birth birthday bday bd birthdate birthyear dob др рожд родиться рождение рожденный родить гр дрн"
    " народиться nasceu nacido nacida nacio geboren nato nata urodzony urodzona народився народилася"
)
_CHILD: Forms = word_set("baby kid child born года год го й")
_CAME: Forms = word_set("along arrived came appeared delivered model vintage появиться завести")
_FROM: Forms = word_set("from с со из")
_UNTIL_NOW: Forms = word_set("in в since after before until moved last by к до после")
_GRADUATION: Forms = word_set("class graduate graduates graduating graduation выпуск выпускник")
TWO_DIGITS = range(4, 30)
_TIMES: Forms = word_set("minute hour day week month year minutes hours days weeks months years")
_FIRST_YEAR = 1900
_GRADUATION_AGE = 18


def years_old(context: NumberContext, today: dt.date, *, is_of_somebody: bool) -> int | None:
    """Return the age of somebody born in the year of this number; None if it is no year of birth.

    It is the age before this year's birthday, since the day is not known. `is_of_somebody`: a
    person is mentioned beside the number.
    """
    year = _year(context, is_of_somebody=is_of_somebody)
    if year is None or not _FIRST_YEAR < year <= today.year:
        return None
    return max(1, today.year - year - 1)


def years_old_at_graduation(context: NumberContext, today: dt.date) -> int | None:
    """Return the age of a pupil of the class of this year; None if it is no such year."""
    is_class = context.near(_GRADUATION, before=3)
    if not is_class or not today.year < context.value <= today.year + 12:
        return None
    return _GRADUATION_AGE - (context.value - today.year)


def is_said(word: NormalisedWord) -> bool:
    """Whether a word says that somebody was born."""
    return not _BIRTH.isdisjoint(forms_of(word))


def is_near_birth(context: NumberContext) -> bool:
    """Whether a birth is mentioned near a number."""
    return context.near(_BIRTH, before=7, after=5) or context.near(_CAME, before=5)


def is_short_year(context: NumberContext) -> bool:
    """Whether a number may be a year in two digits: "десятого года", "я 09-го, а ты?"."""
    if not context.number.is_ordinal or context.value not in TWO_DIGITS:
        return False
    is_of_somebody = not context.after and (
        context.words_before[-1:] == ("я",) or context.words_before[-2:] == ("я", "с")
    )
    return bool(context.word_after & {"год", "года"} or is_of_somebody)


def _year(context: NumberContext, *, is_of_somebody: bool) -> int | None:
    value = context.value
    if value < 100:
        return _short_year(context)
    if value < _FIRST_YEAR or context.near(_BIRTH, before=7, after=5):
        return value
    if not is_of_somebody:
        return None
    if context.near(_CAME, before=5):
        return value
    is_child = bool(context.word_after & _CHILD) or not context.after
    is_from = bool(context.word_before & _FROM)
    return value if is_child and (is_from or not context.near(_UNTIL_NOW, before=3)) else None


def _short_year(context: NumberContext) -> int | None:
    if context.value not in TWO_DIGITS:
        return None
    if (
        context.word_before & {"in"}
        and context.near(_BIRTH, before=2)
        and not context.near(_TIMES, after=2)
    ):
        return 2000 + context.value  # "born in '10"
    is_kid = context.word_after & {"kid", "baby", "born"} and context.value < 10
    is_said = (context.near(_BIRTH, before=2) and context.word_after <= {"год", "года", "г"}) or (
        context.word_after & {"гр", "год", "года"} and context.near(_BIRTH, before=7, after=3)
    )
    return 2000 + context.value if is_kid or is_said else None
