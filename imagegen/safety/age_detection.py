"""Ages that a sentence or a prompt speaks of, in digits and words, Russian and English; pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from imagegen.safety import age_context, age_english, age_russian
from imagegen.safety.age_context import NumberContext, word_set
from imagegen.safety.normalise import NormalisedSentence

# What is numbered, not counted: `room 7`.
_LABELS = word_set(
    "number no nr room chapter page size gate platform version bus tram route level floor track"
    " street line apartment step row table seat exit pier terminal"
)
# Beside these a small number is a time, or a setting of a camera.
_DIALS = word_set(
    "clock clocks watch oclock am pm time timer alarm dial thermometer degrees lens aperture mm iso"
    " bokeh ratio aspect"
)
_DIGITS_ALONE = 10
_YEAR_WORDS = word_set("year years yr yrs y old yo ish")
_TIMES_OF_DAY = word_set("morning afternoon evening night")


def may_be_age(around: NumberContext) -> bool:
    """Say whether nothing speaks against it that this is how old somebody looks."""
    if around.word_after & _YEAR_WORDS:
        return True
    if around.number.is_ordinal or _is_a_small_word(around):
        return False
    if around.word_before & _LABELS or around.near(_DIALS, before=4, after=4) or _is_a_time(around):
        return False
    return not around.is_counted(age_english.UNITS, until=age_english.UNTIL)


def _is_a_time(around: NumberContext) -> bool:
    is_at = around.word_before & {"at", "until", "till", "past", "to", "around"}
    return bool(is_at) and around.near(_TIMES_OF_DAY, after=4)


def _is_a_small_word(around: NumberContext) -> bool:
    # "one of them", "two red cups", "a three quarter portrait", "she is the one"
    if around.value == 1 or around.word_before & {"for"}:  # a table for two
        return True
    return (
        around.value < _DIGITS_ALONE
        and bool(around.after)
        and not around.word_after & age_english.UNTIL
    )


ADULT = 18

# Somebody who is not yet, nearly or just now 18 is no grown-up to be drawn.
_SHORT_OF = word_set(
    "under below turn turns before not never isn aren yet almost nearly barely just only soon freshly newly"
    " fresh til till until will ll younger less"
    " нет не нету до младше моложе меньше почти скоро едва только недавно будет быть исполниться"
    " исполнится достигнуть достичь"
)
_ITS_OWN = word_set("i im m you youre u ur re я ты мне тебе мной тобой меня тебя yourself")
_IN_THE_PAST = word_set("was were when ago было был была когда назад")


@dataclass(frozen=True, kw_only=True, slots=True)
class Age:
    """An age in years; `is_own` if it is that of the user or of the persona, now."""

    years: int
    is_own: bool

    @property
    def is_minor(self) -> bool:
        """Whether it is the age of a minor."""
        return 0 < self.years < ADULT


def ages_in(sentence: NormalisedSentence) -> Iterator[Age]:
    """Return every number of a sentence that reads as somebody's age."""
    for around in age_context.numbers_in(sentence):
        if (years := _years(around)) is not None:
            own = around.near(_ITS_OWN, before=5) and not around.near(_IN_THE_PAST, before=6)
            yield Age(years=years, is_own=own)


def minors(sentence: NormalisedSentence) -> list[Age]:
    """Return the ages below 18 that are spoken of."""
    return [age for age in ages_in(sentence) if age.is_minor]


def may_draw_minor(sentence: NormalisedSentence) -> bool:
    """Say whether a sentence of a prompt may give somebody an age below 18.

    Stricter than a talk: a bare number is an age unless it counts or numbers something.
    """
    return any(
        0 < around.value < ADULT and may_be_age(around)
        for around in age_context.numbers_in(sentence)
    ) or bool(minors(sentence))


def _years(around: NumberContext) -> int | None:
    if (grade := age_english.grade(around) or age_russian.grade(around)) is not None:
        return grade
    if around.number.is_age or age_english.is_age(around) or age_russian.is_age(around):
        value = around.value
        short = value == ADULT and around.near(_SHORT_OF, before=4, after=2)
        return value - 1 if short else value
    return None
