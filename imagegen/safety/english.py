"""When a number is an age in English; pure."""

from imagegen.safety.spoken import NOTHING, Around, Forms, words

# What is counted besides years.
UNITS: Forms = words(
    "second minute hour day week month mile meter metre kilometer kilometre km kilo kg gram pound"
    " percent degree euro dollar buck page time cent o am pm people person men women feet foot inch"
    " block step floor stop point cm mm ml litre liter oclock out more of"
)
UNTIL: Forms = words(
    "and or but so with who in at on wearing standing sitting looking is was year years yr yrs old"
)

_YEARS = words("year years yr yrs y")
_MONTHS = words("month months week weeks")
_BRIEFLY = words("yr yrs")
_OLD = words("old o young age")
_YO = words("yo yos ish летний летн летие")
_AGED = words("aged age ages возраст")
_TURNING = words("turn turns turned turning")
_SPAN_BEFORE = words("for in after than last past next within over since every took")
_SPAN_AFTER = words("ago later since together before experience apart")
_FILLERS = words(
    "only just about like barely around almost nearly now still already maybe probably roughly"
    " approximately not even yet currently actually really literally exactly under below"
    " between at most least be been being going to gonna will would ll d may might must could"
    " should approx circa basically kinda sorta"
)
_BEING = words("am is are m re s im youre shes hes ur ure r was were been be isn aren")
_LOOKING = words("look looks looked looking appear appears seem seems acts feel feels")
_PAST = words("was were")
_SOMEBODY = words("i im you youre u ur ure she shes he hes we they who sis girl boy gf bf")
_WHAT = words(
    "it its that this there here what which time clock size number score temperature price cost"
    " total bill fare dinner lunch taxi rating level chapter room page version floor bus train film movie show meeting date"
    " answer result car house flat cat cats dog dogs pet horse bike phone computer laptop tree"
    " wine whisky whiskey cheese company firm building ticket class battery speed grade count"
    " кошка кот собака машина дом"
)
_PERSONS = words(
    "girl boy child kid student pupil teen person lady woman man female male face figure body"
    " beauty daughter son sister brother niece chick babe"
)
_SEXES = words("f fem female girl boy male lady woman")
_BELOW = words("under below")
_THAN = words("younger less")
_NEARLY = words("almost nearly barely yet")
_AFTER_AN_AGE = words("and now today but so or already again tomorrow yet soon и а")
_TEENS = range(10, 19)
_A_FEW = 2


def is_age(around: Around) -> bool:
    """Say whether the number is somebody's age."""
    if around.number.is_ordinal:
        return bool(around.first & {"birthday", "bday", "birth"})
    return (
        _has_years(around)
        or _has_a_name_for_it(around)
        or _is_a_limit(around)
        or _is_of_somebody(around)
    )


def grade(around: Around) -> int | None:
    """Return about how old those are who are in this grade at school, if it is one."""
    is_one = around.first & {"grade", "grader", "graders"} or (
        around.last & {"grade"} and not around.number.is_ordinal
    )
    return min(around.value + 5, 17) if is_one and 0 < around.value <= 12 else None


def _has_years(around: Around) -> bool:
    if around.first & _YO or (around.first & (_YEARS | _MONTHS) and around.second & _OLD):
        # `5ish` is a time of day.
        return not around.first & {"ish"} or around.value in _TEENS
    is_span = around.last & _SPAN_BEFORE or around.near(_SPAN_AFTER, after=3)
    return bool(around.first & _BRIEFLY) and not is_span


def _has_a_name_for_it(around: Around) -> bool:
    earlier = around.before[-2] if len(around.before) > 1 else NOTHING
    if around.last & (_AGED | _TURNING) or (around.last & {"of", "is"} and earlier & _AGED):
        return True
    if (around.last & {"o"} and earlier & {"y"}) or (
        around.first & {"going"} and around.second & {"on"} and around.value in _TEENS
    ):
        return True
    if around.last & _PERSONS and not around.after and around.value in _TEENS:  # my sister, 14,
        return True
    if around.last & {"of"} and earlier & _PERSONS:
        return not _is_counted(around)
    return bool(around.first & _SEXES) and around.value in _TEENS


def _is_a_limit(around: Around) -> bool:
    if around.value not in _TEENS or _is_counted(around) or around.near(_WHAT, before=3):
        return False
    earlier = around.before[-2] if len(around.before) > 1 else NOTHING
    return bool(
        around.last & (_BELOW | _NEARLY)
        or (around.last & {"than"} and earlier & _THAN)
        or (around.last & {"turned"})
    )


def _is_of_somebody(around: Around) -> bool:
    opener = around.opener(_FILLERS)
    last = opener[-1] if opener else NOTHING
    if last & _SOMEBODY and len(opener) > 1 and opener[-2] & _BEING:  # are you 15
        return not _is_counted(around)
    # `will be` is taken for fillers, and what stands before them is who will be.
    was_left_out = around.near(frozenset({"be"}), before=len(around.before) - len(opener))
    if last & _SOMEBODY and was_left_out:
        return not _is_counted(around)
    if not last & (_BEING | _LOOKING) or any(forms & _WHAT for forms in opener[-4:]):
        return False
    if last & (_LOOKING | _PAST) and around.value >= _A_FEW:
        return not _is_counted(around) and not around.first & _YEARS
    who = opener[-2] if len(opener) > 1 else NOTHING
    if (who | last) & _SOMEBODY and around.value >= _A_FEW:
        return not _is_counted(around) and not around.near(_SPAN_AFTER, after=3)
    return not around.first or bool(around.first & _AFTER_AN_AGE)


def _is_counted(around: Around) -> bool:
    return around.is_counted(UNITS, until=UNTIL)
