"""Ages that a sentence or a prompt mentions, in digits and words, Russian and English; pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from imagegen.safety import age_context, age_english, age_russian
from imagegen.safety.age_context import NumberContext, word_set
from imagegen.safety.normalise import NormalisedSentence

ADULT = 18

# With these words beside 18, somebody is not yet, almost or just 18, and counts as 17.
_NOT_YET = word_set(
    "under below turn turns before not never isn aren yet almost nearly barely just only soon freshly newly"
    " fresh til till until will ll younger less"
    " нет не нету до младше моложе меньше почти скоро едва только недавно будет быть исполниться"
    " исполнится достигнуть достичь"
)
_OWN = word_set("i im m you youre u ur re я ты мне тебе мной тобой меня тебя yourself")
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
_MIN_BARE_AGE = 10
_YEAR_WORDS = word_set("year years yr yrs y old yo ish")
_TIMES_OF_DAY = word_set("morning afternoon evening night")


@dataclass(frozen=True, kw_only=True, slots=True)
class Age:
    """An age in years; `is_own` if it is the present age of the user or of the persona."""

    years: int
    is_own: bool

    @property
    def is_minor(self) -> bool:
        """Whether it is the age of a minor."""
        return 0 < self.years < ADULT


def ages_in(sentence: NormalisedSentence) -> Iterator[Age]:
    """Yield each number of a sentence that is read as somebody's age."""
    for context in age_context.numbers_in(sentence):
        if (years := _years(context)) is not None:
            own = context.near(_OWN, before=5) and not context.near(_PAST, before=6)
            yield Age(years=years, is_own=own)


def minors(sentence: NormalisedSentence) -> list[Age]:
    """Return the ages below 18 that a sentence mentions."""
    return [age for age in ages_in(sentence) if age.is_minor]


def may_draw_minor(sentence: NormalisedSentence) -> bool:
    """Whether a sentence of a prompt may give somebody an age below 18.

    This is stricter than for a conversation: a bare number is an age, unless it counts something or
    is the number of something.
    """
    return any(
        0 < context.value < ADULT and _may_be_age(context)
        for context in age_context.numbers_in(sentence)
    ) or bool(minors(sentence))


def _years(context: NumberContext) -> int | None:
    if (
        age_in_grade := age_english.age_in_grade(context) or age_russian.age_in_grade(context)
    ) is not None:
        return age_in_grade
    if context.number.is_age or age_english.is_age(context) or age_russian.is_age(context):
        value = context.value
        is_not_yet = value == ADULT and context.near(_NOT_YET, before=4, after=2)
        return value - 1 if is_not_yet else value
    return None


def _may_be_age(context: NumberContext) -> bool:
    """Whether nothing indicates that the number is something else than an age."""
    if context.word_after & _YEAR_WORDS:
        return True
    if context.number.is_ordinal or _is_small_number(context):
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
        context.value < _MIN_BARE_AGE
        and bool(context.after)
        and not context.word_after & age_english.UNTIL
    )
