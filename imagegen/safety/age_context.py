"""The numbers of a sentence, and the words around each; pure."""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from imagegen.safety import numbers
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord
from imagegen.safety.numbers import Number

Forms = AbstractSet[str]
NO_FORMS: Forms = frozenset()

_MIN_PLURAL_LETTERS = 4
# What is counted stands at most so many words after the number.
_MAX_WORDS_TO_COUNTED = 3
# So many words on each side of a number are looked at.
_WINDOW = 12
_MAX_THOUSANDS = 3
_CENTURIES = (19, 20)
_DOZEN = 12
_DIGITS, _HUNDRED = 10, 100
ADULT = 18

_PLUS: Forms = frozenset({"plus", "плюс", "прибавить"})
_MINUS: Forms = frozenset({"minus", "минус", "отнять", "вычесть"})
_TIMES: Forms = frozenset({"times", "multiplied", "раз", "умножить"})
_TIMES_BEFORE = {"twice": 2, "double": 2, "дважды": 2, "thrice": 3, "triple": 3, "трижды": 3}
_PARTS = {"half": 2, "половина": 2, "third": 3, "треть": 3, "quarter": 4, "четверть": 4}
_HALVED: Forms = frozenset({"halved", "пополам"})
_OF: Forms = frozenset({"of", "от", "из"})
_ROOTS: Forms = frozenset({"root", "корень"})


def word_set(text: str) -> Forms:
    """Return the words that stand in a text."""
    return frozenset(text.split())


# English words that end in s and are no plurals.
_NO_PLURALS = word_set(
    "is was has does this his hers its yes as us thus plus looks seems turns years yrs always"
    " thats whats lets heres perhaps sometimes besides thanks cheers guys folks hugs greetings congrats"
    " less dress glass miss kiss lips eyes legs"
)


TIME_UNITS: Forms = word_set(
    "month months week weeks day days year years yr yrs yo mo месяц мес неделя день лет год годик"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenWord:
    """A word of a sentence: its forms, its number (None if it is none), and if a pause follows."""

    plain: str
    forms: Forms
    number: Number | None
    pauses: bool

    @property
    def is_in_digits(self) -> bool:
        """Whether the word is a number in digits."""
        return self.plain.isdecimal()


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberContext:
    """A number and the words around it, each as the set of its forms; `after` ends at a pause.

    `words_before` and `words_after` are the same words as they were written, `clause_before` those
    since the last pause. `word` is the number as it was written, of several words the last; `at` is
    its place in the sentence.
    """

    number: Number
    word: str
    before: tuple[Forms, ...]
    after: tuple[Forms, ...]
    words_before: tuple[str, ...]
    words_after: tuple[str, ...]
    clause_before: tuple[str, ...]
    at: int

    @property
    def value(self) -> int:
        """The value of the number."""
        return self.number.value

    @property
    def starts_clause(self) -> bool:
        """Whether the number is the first word, or stands after a pause."""
        return not self.clause_before

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
            if forms & units or any(map(is_english_plural, forms)):
                return True
        return False


@functools.lru_cache(maxsize=8)
def numbers_in(sentence: NormalisedSentence) -> tuple[NumberContext, ...]:
    """Return the numbers of a sentence, each with the words around it."""
    return tuple(_numbers_in(sentence))


def spoken_words(sentence: NormalisedSentence) -> list[SpokenWord]:
    """Return the words of a sentence, with each number of several words ("twenty five") as one."""
    return _with_compounds(_spoken(sentence))


def is_english_plural(form: str) -> bool:
    """Whether a word has the form of an English plural."""
    return (
        form.isascii()
        and len(form) >= _MIN_PLURAL_LETTERS
        and form.endswith("s")
        and not form.endswith(("ss", "us"))
        and form not in _NO_PLURALS
    )


def _numbers_in(sentence: NormalisedSentence) -> Iterator[NumberContext]:
    if not any(map(numbers.number_of, sentence.words)):
        return
    spoken = spoken_words(sentence)
    for index, word in enumerate(spoken):
        if word.number is None:
            continue
        before = spoken[max(0, index - _WINDOW) : index]
        after = tuple(_until_pause(spoken[index : index + _WINDOW]))
        yield NumberContext(
            number=word.number,
            word=word.plain,
            before=tuple(each.forms for each in before),
            after=tuple(each.forms for each in after),
            words_before=tuple(each.plain for each in before),
            words_after=tuple(each.plain for each in after),
            clause_before=tuple(each.plain for each in _since_pause(before)),
            at=index,
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
        yield SpokenWord(
            plain=word.plain,
            forms=numbers.forms_of(word),
            number=number,
            pauses=last in sentence.ends,
        )


def _with_compounds(spoken: Iterable[SpokenWord]) -> list[SpokenWord]:
    """Return the words with each number of several words ("twenty five", "ten plus five") as one."""
    merged: list[SpokenWord] = []
    for word in spoken:
        if word.forms & _HALVED and merged and merged[-1].number is not None:
            halved = merged[-1].number
            merged[-1] = replace(merged[-1], number=replace(halved, value=halved.value // 2))
            continue
        if word.number is None or not merged or merged[-1].pauses:
            merged.append(word)
            continue
        words, value = _with_words_before(merged, word)
        del merged[len(merged) - words :]
        number = replace(word.number, value=value) if words else word.number
        merged.append(replace(word, number=number))
    return merged


def _with_words_before(before: list[SpokenWord], word: SpokenWord) -> tuple[int, int]:
    """Return how many words before a number belong to it, and its value with them."""
    value = word.number.value if word.number else 0
    last = before[-1]
    if last.number is not None:
        if word.plain.endswith(("fives", "sevens", "eights", "sixes", "fours", "threes")):
            return 1, last.number.value * value
        compound = None if word.is_in_digits else _compound(last, value)
        if compound is None:
            return 0, value
        words, part = _part(before[:-1], compound)
        return 1 + words, part
    for form, factor in _TIMES_BEFORE.items():
        if form in last.forms:
            return 1, factor * value
        if last.forms & {"по"} and len(before) > 1 and form in before[-2].forms:
            return 2, factor * value
    words, part = _part(before, value)
    if words:
        return words, part
    words = 2 if last.forms & _OF and len(before) > 1 else 1
    if words > 1 and before[-2].forms & _ROOTS and math.isqrt(value) ** 2 == value:
        return words, math.isqrt(value)
    return _sum(before, value)


def _part(before: list[SpokenWord], value: int) -> tuple[int, int]:
    """Return how many words say that only a part of a number is meant ("треть от"), and this part."""
    words = 2 if len(before) > 1 and before[-1].forms & _OF else 1
    for form, part in _PARTS.items():
        if (
            len(before) >= words
            and form in before[-words].forms
            and value >= ADULT
            and value % part == 0
        ):
            return words, value // part
    return 0, value


def _sum(before: list[SpokenWord], value: int) -> tuple[int, int]:
    for words in (2, 3):
        first = before[-words].number if len(before) >= words else None
        if first is None or before[-words].pauses:
            continue
        signs = frozenset[str]().union(*(each.forms for each in before[-words + 1 :]))
        is_dozen = first.value == _DOZEN and not before[-words].is_in_digits
        if signs & _PLUS or (is_dozen and signs & {"and", "и"}):
            return words, first.value + value
        if signs & _MINUS and first.value > value:
            return words, first.value - value
        if signs & _TIMES and (words == len(signs & _TIMES) + 1 or signs & {"by", "по", "на"}):
            return words, first.value * value
    return 0, value


def _compound(first: SpokenWord, added: int) -> int | None:
    """Return the number that two number words stand for together, None if they are two numbers."""
    if first.number is None or first.is_in_digits:
        return None
    value = first.number.value
    if added == _HUNDRED and value < _DIGITS:
        return value * added
    if _HUNDRED <= value < numbers.THOUSAND and value % _HUNDRED == 0:
        return value + added if added < _HUNDRED else None
    if added == numbers.THOUSAND:
        return value * added if value <= _MAX_THOUSANDS else None
    if value >= numbers.THOUSAND:
        return value + added if value % 1000 == 0 or (value % 10 == 0 and added < 10) else None
    if value in _CENTURIES and added >= 10:  # nineteen ninety, twenty ten
        return 100 * value + added
    if value == 1 and 1 < added < 10:  # "one six", digit by digit
        return 10 + added
    is_tens = value >= 20 and value % 10 == 0
    return value + added if is_tens and 0 < added < _DIGITS else None


def _is_part_of_number(
    before: NormalisedWord | None, word: NormalisedWord, after: NormalisedWord | None
) -> bool:
    is_ending = before is not None and before.number is not None and numbers.is_ending(word)
    return is_ending or (after is not None and _is_written_twice(word, after))


def _is_written_twice(word: NormalisedWord, after: NormalisedWord) -> bool:
    # `16th` is split into `16th`, `16` and `th`.
    return after.number is not None and word.number is None and word.plain.startswith(after.plain)


def _until_pause(spoken: list[SpokenWord]) -> Iterator[SpokenWord]:
    for word, after in itertools.pairwise(spoken):
        if word.pauses:
            return
        yield after


def _since_pause(before: list[SpokenWord]) -> list[SpokenWord]:
    pauses = [at for at, word in enumerate(before, start=1) if word.pauses]
    return before[pauses[-1] if pauses else 0 :]
