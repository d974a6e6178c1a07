"""The numbers of a sentence, and the words around each; pure."""

import itertools
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from imagegen.safety import numbers
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord
from imagegen.safety.numbers import Number

Forms = AbstractSet[str]
NO_FORMS: Forms = frozenset()

_MIN_PLURAL_LETTERS = 4
# What is counted stands at most so many words after the number.
_MAX_WORDS_TO_COUNTED = 3


def word_set(text: str) -> Forms:
    """Return the words that stand in a text."""
    return frozenset(text.split())


# English words that end in s and are no plurals.
_NO_PLURALS = word_set(
    "is was has does this his hers its yes as us thus plus looks seems turns years yrs always"
    " perhaps sometimes besides less dress glass miss kiss lips eyes legs"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenWord:
    """A word of a sentence: its forms, its number (None if it is none), and if a pause follows."""

    forms: Forms
    number: Number | None
    pauses: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberContext:
    """A number and the words around it, each as the set of its forms; `after` ends at a pause."""

    number: Number
    before: tuple[Forms, ...]
    after: tuple[Forms, ...]

    @property
    def value(self) -> int:
        """The value of the number."""
        return self.number.value

    @property
    def word_before(self) -> Forms:
        """The forms of the word before the number; none if there is no word."""
        return self.before[-1] if self.before else NO_FORMS

    @property
    def word_after(self) -> Forms:
        """The forms of the word after the number; none if there is no word."""
        return self.after[0] if self.after else NO_FORMS

    @property
    def second_after(self) -> Forms:
        """The forms of the second word after the number; none if there is no word."""
        return self.after[1] if len(self.after) > 1 else NO_FORMS

    def opener(self, fillers: Forms) -> tuple[Forms, ...]:
        """Return the words before the number, without the fillers directly before it."""
        kept = list(self.before)
        while kept and kept[-1] & fillers:
            kept.pop()
        return tuple(kept)

    def near(self, words: Forms, *, before: int = 0, after: int = 0) -> bool:
        """Whether one of the words is among so many before or after the number."""
        nearby = (*(self.before[-before:] if before else ()), *self.after[:after])
        return any(forms & words for forms in nearby)

    def is_counted(self, units: Forms, *, until: Forms) -> bool:
        """Whether the number counts a unit or an English plural, before a word of `until`."""
        for forms in itertools.islice(self.after, _MAX_WORDS_TO_COUNTED):
            if forms & until:
                return False
            if forms & units or any(map(_is_english_plural, forms)):
                return True
        return False


def numbers_in(sentence: NormalisedSentence) -> Iterator[NumberContext]:
    """Yield the numbers of a sentence, each with the words around it."""
    if not any(map(numbers.number_of, sentence.words)):
        return
    spoken = list(_spoken(sentence))
    for index, word in enumerate(spoken):
        # In "twenty five", five is no number of its own.
        if word.number is None or (index and spoken[index - 1].forms & numbers.TENS):
            continue
        yield NumberContext(
            number=word.number,
            before=tuple(each.forms for each in spoken[:index]),
            after=tuple(_forms_until_pause(spoken, index)),
        )


def _spoken(sentence: NormalisedSentence) -> Iterator[SpokenWord]:
    spoken = sentence.words
    for index, (before, word, after) in enumerate(
        zip((None, *spoken), spoken, (*spoken[1:], None), strict=False)
    ):
        if _is_part_of_number(before, word, after):
            continue
        number, last = numbers.number_of(word), index
        if after and word.number is not None and numbers.is_ending(after):
            is_ordinal = numbers.is_end_of_an_ordinal(after)
            number, last = Number(value=word.number, is_ordinal=is_ordinal), index + 1
        yield SpokenWord(forms=numbers.forms_of(word), number=number, pauses=last in sentence.ends)


def _is_part_of_number(
    before: NormalisedWord | None, word: NormalisedWord, after: NormalisedWord | None
) -> bool:
    is_ending = before is not None and before.number is not None and numbers.is_ending(word)
    return is_ending or (after is not None and _is_written_twice(word, after))


def _is_written_twice(word: NormalisedWord, after: NormalisedWord) -> bool:
    # `16th` is split into `16th`, `16` and `th`.
    return after.number is not None and word.number is None and word.plain.startswith(after.plain)


def _forms_until_pause(spoken: list[SpokenWord], index: int) -> Iterator[Forms]:
    for word, after in itertools.pairwise(spoken[index:]):
        if word.pauses:
            return
        yield after.forms


def _is_english_plural(form: str) -> bool:
    return (
        form.isascii()
        and len(form) >= _MIN_PLURAL_LETTERS
        and form.endswith("s")
        and not form.endswith(("ss", "us"))
        and form not in _NO_PLURALS
    )
