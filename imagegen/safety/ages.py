"""Ages that a sentence speaks of, in digits and words, Russian and English; pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from imagegen.safety import drawn, english, russian, spoken
from imagegen.safety.normalise import Sentence
from imagegen.safety.spoken import Around, words

ADULT = 18

# Somebody who is not yet, nearly or just now 18 is no grown-up to be drawn.
_SHORT_OF = words(
    "under below turn turns before not never isn aren yet almost nearly barely just only soon freshly newly"
    " fresh til till until will ll younger less"
    " нет не нету до младше моложе меньше почти скоро едва только недавно будет быть исполниться"
    " исполнится достигнуть достичь"
)
_ITS_OWN = words("i im m you youre u ur re я ты мне тебе мной тобой меня тебя yourself")
_IN_THE_PAST = words("was were when ago было был была когда назад")


@dataclass(frozen=True, kw_only=True, slots=True)
class Age:
    """An age in years; `is_own` if it is that of the user or of the persona, now."""

    years: int
    is_own: bool

    @property
    def is_minor(self) -> bool:
        """Whether it is the age of a minor."""
        return 0 < self.years < ADULT


def spoken_of(sentence: Sentence) -> Iterator[Age]:
    """Return every number of a sentence that reads as somebody's age."""
    for around in spoken.numbers_in(sentence):
        if (years := _years(around)) is not None:
            own = around.near(_ITS_OWN, before=5) and not around.near(_IN_THE_PAST, before=6)
            yield Age(years=years, is_own=own)


def minors(sentence: Sentence) -> list[Age]:
    """Return the ages below 18 that are spoken of."""
    return [age for age in spoken_of(sentence) if age.is_minor]


def is_drawn(sentence: Sentence) -> bool:
    """Say whether a sentence of a prompt may give somebody an age below 18.

    Stricter than a talk: a bare number is an age unless it counts or numbers something.
    """
    return any(
        0 < around.value < ADULT and drawn.may_be_an_age(around)
        for around in spoken.numbers_in(sentence)
    ) or bool(minors(sentence))


def _years(around: Around) -> int | None:
    if (grade := english.grade(around) or russian.grade(around)) is not None:
        return grade
    if around.number.is_age or english.is_age(around) or russian.is_age(around):
        value = around.value
        short = value == ADULT and around.near(_SHORT_OF, before=4, after=2)
        return value - 1 if short else value
    return None
