"""When a number is an age in English; pure."""

from imagegen.safety.age_context import NO_FORMS, Forms, NumberContext, word_set

# What is counted besides years.
UNITS: Forms = word_set(
    "second minute hour day week month mile meter metre kilometer kilometre km kilo kg gram pound"
    " percent degree euro dollar buck page time cent o am pm people person men women feet foot inch"
    " block step floor stop point cm mm ml litre liter oclock out more of"
)
UNTIL: Forms = word_set(
    "and or but so with who in at on wearing standing sitting looking is was year years yr yrs old"
)

_YEARS = word_set("year years yr yrs y")
_MONTHS = word_set("month months week weeks")
_BRIEFLY = word_set("yr yrs")
_OLD = word_set("old o young age")
_YO = word_set("yo yos ish летний летн летие")
_AGED = word_set("aged age ages возраст")
_TURNING = word_set("turn turns turned turning")
_SPAN_BEFORE = word_set("for in after than last past next within over since every took")
_SPAN_AFTER = word_set("ago later since together before experience apart")
_FILLERS = word_set(
    "only just about like barely around almost nearly now still already maybe probably roughly"
    " approximately not even yet currently actually really literally exactly under below"
    " between at most least be been being going to gonna will would ll d may might must could"
    " should approx circa basically kinda sorta"
)
_BEING = word_set("am is are m re s im youre shes hes ur ure r was were been be isn aren")
_LOOKING = word_set("look looks looked looking appear appears seem seems acts feel feels")
_PAST = word_set("was were")
_SOMEBODY = word_set("i im you youre u ur ure she shes he hes we they who sis girl boy gf bf")
_WHAT = word_set(
    "it its that this there here what which time clock size number score temperature price cost"
    " total bill fare dinner lunch taxi rating level chapter room page version floor bus train film movie show meeting date"
    " answer result car house flat cat cats dog dogs pet horse bike phone computer laptop tree"
    " wine whisky whiskey cheese company firm building ticket class battery speed grade count"
    " кошка кот собака машина дом"
)
_PERSONS = word_set(
    "girl boy child kid student pupil teen person lady woman man female male face figure body"
    " beauty daughter son sister brother niece chick babe"
)
_SEXES = word_set("f fem female girl boy male lady woman")
_BELOW = word_set("under below")
_THAN = word_set("younger less")
_NEARLY = word_set("almost nearly barely yet")
_AFTER_AN_AGE = word_set("and now today but so or already again tomorrow yet soon и а")
_TEENS = range(10, 19)
_A_FEW = 2


def is_age(around: NumberContext) -> bool:
    """Say whether the number is somebody's age."""
    if around.number.is_ordinal:
        return bool(around.word_after & {"birthday", "bday", "birth"})
    return (
        _has_years(around)
        or _has_a_name_for_it(around)
        or _is_a_limit(around)
        or _is_of_somebody(around)
    )


def grade(around: NumberContext) -> int | None:
    """Return about how old those are who are in this grade at school, if it is one."""
    is_one = around.word_after & {"grade", "grader", "graders"} or (
        around.word_before & {"grade"} and not around.number.is_ordinal
    )
    return min(around.value + 5, 17) if is_one and 0 < around.value <= 12 else None


def _has_years(around: NumberContext) -> bool:
    if around.word_after & _YO or (
        around.word_after & (_YEARS | _MONTHS) and around.second_after & _OLD
    ):
        # `5ish` is a time of day.
        return not around.word_after & {"ish"} or around.value in _TEENS
    is_span = around.word_before & _SPAN_BEFORE or around.near(_SPAN_AFTER, after=3)
    return bool(around.word_after & _BRIEFLY) and not is_span


def _has_a_name_for_it(around: NumberContext) -> bool:
    earlier = around.before[-2] if len(around.before) > 1 else NO_FORMS
    if around.word_before & (_AGED | _TURNING) or (
        around.word_before & {"of", "is"} and earlier & _AGED
    ):
        return True
    if (around.word_before & {"o"} and earlier & {"y"}) or (
        around.word_after & {"going"} and around.second_after & {"on"} and around.value in _TEENS
    ):
        return True
    if (
        around.word_before & _PERSONS and not around.after and around.value in _TEENS
    ):  # my sister, 14,
        return True
    if around.word_before & {"of"} and earlier & _PERSONS:
        return not _is_counted(around)
    return bool(around.word_after & _SEXES) and around.value in _TEENS


def _is_a_limit(around: NumberContext) -> bool:
    if around.value not in _TEENS or _is_counted(around) or around.near(_WHAT, before=3):
        return False
    earlier = around.before[-2] if len(around.before) > 1 else NO_FORMS
    return bool(
        around.word_before & (_BELOW | _NEARLY)
        or (around.word_before & {"than"} and earlier & _THAN)
        or (around.word_before & {"turned"})
    )


def _is_of_somebody(around: NumberContext) -> bool:
    opener = around.opener(_FILLERS)
    last = opener[-1] if opener else NO_FORMS
    if last & _SOMEBODY and len(opener) > 1 and opener[-2] & _BEING:  # are you 15
        return not _is_counted(around)
    # `will be` is taken for fillers, and what stands before them is who will be.
    was_left_out = around.near(frozenset({"be"}), before=len(around.before) - len(opener))
    if last & _SOMEBODY and was_left_out:
        return not _is_counted(around)
    if not last & (_BEING | _LOOKING) or any(forms & _WHAT for forms in opener[-4:]):
        return False
    if last & (_LOOKING | _PAST) and around.value >= _A_FEW:
        return not _is_counted(around) and not around.word_after & _YEARS
    who = opener[-2] if len(opener) > 1 else NO_FORMS
    if (who | last) & _SOMEBODY and around.value >= _A_FEW:
        return not _is_counted(around) and not around.near(_SPAN_AFTER, after=3)
    return not around.word_after or bool(around.word_after & _AFTER_AN_AGE)


def _is_counted(around: NumberContext) -> bool:
    return around.is_counted(UNITS, until=UNTIL)
