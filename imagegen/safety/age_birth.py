"""Ages from a year of birth, and from the year in which somebody finishes school; pure."""

import datetime as dt

from imagegen.safety.age_context import Forms, NumberContext, word_set

_BIRTH: Forms = word_set(
    "born birth birthday bday birthdate birthyear dob b родиться рождение рожденный родить гр род"
    " др появиться свет народиться nasceu nacido nacida nacio geboren ne nee nato nata urodzony"
    " urodzona народився народилася нар"
)
_CHILD: Forms = word_set("baby kid child born model vintage года год го й g гр")
_CAME: Forms = word_set("along into arrived came")
_FROM: Forms = word_set("from с со из since")
_GRADUATION: Forms = word_set("class graduate graduates graduating graduation выпуск выпускник")
_PERSONS: Forms = word_set("i im m am you re he she s my мой я ты он она мне с from брат сестра")
_TWO_DIGITS = range(4, 30)
_FIRST_YEAR = 1900
_GRADUATION_AGE = 18


def years_old(context: NumberContext, today: dt.date) -> int | None:
    """Return the age of somebody born in the year of this number; None if it is no year of birth.

    It is the age before this year's birthday, since the day is not known.
    """
    year = _year(context, today)
    if year is None or not _FIRST_YEAR < year <= today.year:
        return None
    return max(1, today.year - year - 1)


def years_old_at_graduation(context: NumberContext, today: dt.date) -> int | None:
    """Return the age of a pupil of the class of this year; None if it is no such year."""
    is_class = context.near(_GRADUATION, before=3)
    if not is_class or not today.year < context.value <= today.year + 12:
        return None
    return _GRADUATION_AGE - (context.value - today.year)


def is_near_birth(context: NumberContext) -> bool:
    """Whether a birth is mentioned near a number."""
    return context.near(_BIRTH, before=7, after=3)


def _year(context: NumberContext, today: dt.date) -> int | None:
    value = context.value
    if value < 100:
        return _short_year(context, today)
    if value < _FIRST_YEAR:
        return None
    if is_near_birth(context):
        return value
    opener = context.before[-4:]
    is_child = bool(context.word_after & _CHILD) or not context.after
    is_of_somebody = any(forms & _PERSONS for forms in opener)
    is_from = bool(context.word_before & _FROM)
    if is_of_somebody and is_child and (is_from or not context.near(_UNTIL_NOW, before=3)):
        return value
    return value if context.near(_CAME, before=3) and is_of_somebody else None


_UNTIL_NOW: Forms = word_set("in в since after before until moved last by к до после")


def _short_year(context: NumberContext, today: dt.date) -> int | None:
    value = context.value
    if value not in _TWO_DIGITS:
        return None
    is_kid = context.word_after & {"kid", "baby", "born"} and value < 10
    is_said = context.word_after & {"гр", "год", "года"} and context.near(_BIRTH, after=3)
    return 2000 + value if is_kid or is_said else None
