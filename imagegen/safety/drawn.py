"""When a number of a prompt may be an age: whenever it counts or numbers nothing; pure."""

from imagegen.safety import english
from imagegen.safety.spoken import Around, words

# What is numbered, not counted: `room 7`.
_LABELS = words(
    "number no nr room chapter page size gate platform version bus tram route level floor track"
    " street line apartment step row table seat exit pier terminal"
)
# Beside these a small number is a time, or a setting of a camera.
_DIALS = words(
    "clock clocks watch oclock am pm time timer alarm dial thermometer degrees lens aperture mm iso"
    " bokeh ratio aspect"
)
_DIGITS_ALONE = 10
_YEARS = words("year years yr yrs y old yo ish")
_TIMES_OF_DAY = words("morning afternoon evening night")


def may_be_an_age(around: Around) -> bool:
    """Say whether nothing speaks against it that this is how old somebody looks."""
    if around.first & _YEARS:
        return True
    if around.number.is_ordinal or _is_a_small_word(around):
        return False
    if around.last & _LABELS or around.near(_DIALS, before=4, after=4) or _is_a_time(around):
        return False
    return not around.is_counted(english.UNITS, until=english.UNTIL)


def _is_a_time(around: Around) -> bool:
    is_at = around.last & {"at", "until", "till", "past", "to", "around"}
    return bool(is_at) and around.near(_TIMES_OF_DAY, after=4)


def _is_a_small_word(around: Around) -> bool:
    # "one of them", "two red cups", "a three quarter portrait", "she is the one"
    if around.value == 1 or around.last & {"for"}:  # a table for two
        return True
    return around.value < _DIGITS_ALONE and bool(around.after) and not around.first & english.UNTIL
