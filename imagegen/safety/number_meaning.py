"""What a number means that is no age: a count, a label, a time, one of several numbers; pure.

What is not understood here may be an age.
"""

import itertools
from collections.abc import Iterable

from imagegen import morphology
from imagegen.safety import age_english, age_russian, numbers, word_classes
from imagegen.safety.age_context import Forms, NumberContext, word_set

_AROUND_NUMBERS: Forms = word_set(
    "and or to of out by from between against x и или до из по на от между против"
)
_AT: Forms = word_set("at by until till around past to before after from since")
_AT_RUSSIAN: Forms = word_set("в к до после с со около на за через")
_TIMES: Forms = word_set(
    "сегодня вчера завтра утро вечер час встреча созвон поезд рейс сеанс today yesterday tomorrow"
    " morning evening night clock oclock am pm meeting"
)
_LABELS: Forms = word_set(
    "number no nr room chapter page size platform version level episode season part act vol volume"
    " top iphone ios windows android pixel galaxy xbox playstation ps ps5 fifa gta python java plus"
    " minus zero total score about over under another extra next last first все всего итого минус"
    " плюс номер айфон винда топ"
)
_YEARS: Forms = word_set("year years yr yrs год лет годик")
_VERBS_OF_AGE: Forms = word_set(
    "celebrate celebrated celebrating mark marked near nearing approach approaching pass passed"
    " touch touching finish finished complete completed enter entering start starting started"
    " live lived living exist existed spend spent swear promise admit lie lied mean means meant"
    " sound sounds pretend pretending remain remains stay"
)
_UNSAID: Forms = age_russian.UNSAID
_MIN_WORDS = 3
_LAST_HOUR, _LAST_HOUR_ENGLISH = 24, 12


def is_understood(context: NumberContext) -> bool:
    """Whether a number is read as something else than an age."""
    return (
        context.number.is_ordinal
        or context.number.is_roman
        or _counts(context)
        or _is_label(context)
        or _is_time(context)
        or _is_among_numbers(context)
        or has_verb(context)
    )


def is_span(context: NumberContext) -> bool:
    """Whether a number of years is no age but a span of time."""
    if age_english.is_span(context) or age_russian.is_span(context) or has_verb(context):
        return True
    around = (*context.clause_before[-3:], *context.words_after[1:4])
    return any(is_thing(word) for word in around if not _UNSAID & {word, *morphology.lemmas(word)})


def has_verb(context: NumberContext) -> bool:
    """Whether the clause of a number has a verb that is not said of ages."""
    return any(map(_is_other_verb, context.clause_before)) or any(
        map(_is_other_verb, context.words_after)
    )


def is_other_year(context: NumberContext) -> bool:
    """Whether a year is that of an event or of a thing."""
    around = (*context.clause_before[-2:], *context.words_after[:2])
    return has_verb(context) or any(map(is_thing, around))


def is_thing(word: str) -> bool:
    """Whether a word of either language is a noun for a thing."""
    if word.isascii():
        return word_classes.is_thing(word) or word_classes.is_animal(word)
    return morphology.is_inanimate(word) and not morphology.may_be_first_name(word)


def _counts(context: NumberContext) -> bool:
    words = [
        (word, forms)
        for word, forms in zip(context.words_after, context.after, strict=True)
        if not word.isdecimal() and not forms & _AROUND_NUMBERS
    ]
    for word, forms in words[:_MIN_WORDS]:
        if forms & _YEARS:
            return False
        if forms & (age_english.UNITS | age_russian.UNITS) or _is_counted_noun(word):
            return True
        if word.isascii():
            continue
        if not (morphology.is_adjective(word) or morphology.is_adjective_of_many(word)):
            return False
    return context.is_counted(age_english.UNITS, until=age_english.UNTIL)


def _is_counted_noun(word: str) -> bool:
    if word.isascii():
        return word_classes.is_thing(word) or word_classes.is_animal(word)
    return morphology.is_noun(word)


def _is_label(context: NumberContext) -> bool:
    if not context.clause_before:
        return False
    word = context.clause_before[-1]
    return bool(context.word_before & _LABELS) or (
        is_thing(word) and not context.word_before & _UNSAID
    )


def _is_time(context: NumberContext) -> bool:
    if context.near(_TIMES, before=4, after=3):
        return True
    if context.word_before & _AT:
        return context.value <= _LAST_HOUR_ENGLISH
    return bool(context.word_before & _AT_RUSSIAN) and context.value <= _LAST_HOUR


def _is_among_numbers(context: NumberContext) -> bool:
    """Whether another number stands beside the number, or an `or`, `to`, `из` away."""
    before = zip(reversed(context.words_before), reversed(context.before), strict=True)
    after = zip(context.words_after, context.after, strict=True)
    return _starts_with_number(before) or _starts_with_number(after)


def _starts_with_number(words: Iterable[tuple[str, Forms]]) -> bool:
    for word, forms in itertools.islice(words, 2):
        if word.isdecimal() or any(map(numbers.is_number_word, forms)):
            return True
        if not forms & _AROUND_NUMBERS:
            return False
    return False


def _is_other_verb(word: str) -> bool:
    if word.isascii():
        return word_classes.is_verb(word) and word not in _VERBS_OF_AGE
    return morphology.is_verb(word) and not age_russian.is_said_of_ages(word)
