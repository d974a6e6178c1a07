"""What stands around a number in a sentence; pure."""

import itertools
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from imagegen.safety import numbers
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord
from imagegen.safety.numbers import Number

Forms = AbstractSet[str]
NO_FORMS: Forms = frozenset()

_SHORTEST_PLURAL = 4
_COUNTED_WITHIN = 3


def word_set(text: str) -> Forms:
    """Return the words that stand in a text."""
    return frozenset(text.split())


# Words that end in s and are not many of something.
_NOT_MANY = word_set(
    "is was has does this his hers its yes as us thus plus looks seems turns years yrs always"
    " perhaps sometimes besides less dress glass miss kiss lips eyes legs"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenWord:
    """A word of a sentence: its forms, its number if it says one, and whether a pause follows."""

    forms: Forms
    number: Number | None
    pauses: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberContext:
    """A number and what is said around it; `after` ends where the speaker pauses."""

    number: Number
    before: tuple[Forms, ...]
    after: tuple[Forms, ...]

    @property
    def value(self) -> int:
        """The number itself."""
        return self.number.value

    @property
    def word_before(self) -> Forms:
        """The word before the number."""
        return self.before[-1] if self.before else NO_FORMS

    @property
    def word_after(self) -> Forms:
        """The word after the number."""
        return self.after[0] if self.after else NO_FORMS

    @property
    def second_after(self) -> Forms:
        """The word after that one."""
        return self.after[1] if len(self.after) > 1 else NO_FORMS

    def opener(self, fillers: Forms) -> tuple[Forms, ...]:
        """Return what is said before the number and the fillers beside it."""
        kept = list(self.before)
        while kept and kept[-1] & fillers:
            kept.pop()
        return tuple(kept)

    def near(self, words: Forms, *, before: int = 0, after: int = 0) -> bool:
        """Say whether one of the words is so near."""
        nearby = (*(self.before[-before:] if before else ()), *self.after[:after])
        return any(forms & words for forms in nearby)

    def is_counted(self, units: Forms, *, until: Forms) -> bool:
        """Say whether the number counts something: a unit, or what is many in English."""
        for forms in itertools.islice(self.after, _COUNTED_WITHIN):
            if forms & until:
                return False
            if forms & units or any(map(_is_many, forms)):
                return True
        return False


def numbers_in(sentence: NormalisedSentence) -> Iterator[NumberContext]:
    """Return the numbers of a sentence, each with what stands around it."""
    if not any(map(numbers.number_of, sentence.words)):
        return
    said = list(_spoken(sentence))
    for at, word in enumerate(said):
        # The five of twenty five is no number of its own.
        if word.number is None or (at and said[at - 1].forms & numbers.TENS):
            continue
        yield NumberContext(
            number=word.number,
            before=tuple(each.forms for each in said[:at]),
            after=tuple(_until_a_pause(said, at)),
        )


def _spoken(sentence: NormalisedSentence) -> Iterator[SpokenWord]:
    said = sentence.words
    for at, (before, word, after) in enumerate(
        zip((None, *said), said, (*said[1:], None), strict=False)
    ):
        if _is_part_of_a_number(before, word, after):
            continue
        number, last = numbers.number_of(word), at
        if after and word.number is not None and numbers.is_ending(after):
            is_ordinal = numbers.is_end_of_an_ordinal(after)
            number, last = Number(value=word.number, is_ordinal=is_ordinal), at + 1
        yield SpokenWord(forms=numbers.forms_of(word), number=number, pauses=last in sentence.ends)


def _is_part_of_a_number(
    before: NormalisedWord | None, word: NormalisedWord, after: NormalisedWord | None
) -> bool:
    is_ending = before is not None and before.number is not None and numbers.is_ending(word)
    return is_ending or (after is not None and _is_written_twice(word, after))


def _is_written_twice(word: NormalisedWord, after: NormalisedWord) -> bool:
    # `16th` is read as itself, and as 16 and th.
    return after.number is not None and word.number is None and word.plain.startswith(after.plain)


def _until_a_pause(said: list[SpokenWord], at: int) -> Iterator[Forms]:
    for word, after in itertools.pairwise(said[at:]):
        if word.pauses:
            return
        yield after.forms


def _is_many(form: str) -> bool:
    return (
        form.isascii()
        and len(form) >= _SHORTEST_PLURAL
        and form.endswith("s")
        and not form.endswith(("ss", "us"))
        and form not in _NOT_MANY
    )
