"""What a number means that is no age: a count, a label, a time, one of several numbers; pure.

What is not understood here may be an age.
"""

import itertools
from collections.abc import Iterable, Iterator

from imagegen import morphology
from imagegen.safety import age_english, age_russian, age_subject, age_things, numbers, word_classes
from imagegen.safety.age_context import NO_FORMS, Forms, NumberContext, is_english_plural, word_set

_AROUND_NUMBERS: Forms = word_set(
    "and or to of out by from between against x и или до из по на от между против"
)
_AND_OR: Forms = word_set("and or of x и или до")
_AT: Forms = word_set("at in by until till around past to before after from since")
_BE: Forms = word_set("am m is s are re im")
_AT_RUSSIAN: Forms = word_set("в к до после с со около на за через")
_TIMES: Forms = word_set(
    "сегодня вчера завтра утро вечер час встреча созвон поезд рейс сеанс today yesterday tomorrow"
    " morning evening night clock oclock am pm meeting кость кубик бросок dice roll rolls rolled d20"
)
_IN: Forms = word_set("in since by until before after during в к до после")
_SEASONS: Forms = word_set(
    "spring summer autumn fall winter весна лето осень зима весной летом осенью зимой"
)
_DATES: Forms = word_set(
    "число st nd rd th january february march april may june july august september october november"
    " december jan feb mar apr jun jul aug sep sept oct nov dec январь февраль март апрель май июнь"
    " июль август сентябрь октябрь ноябрь декабрь"
)
_LABELS: Forms = word_set(
    "number no nr room chapter page size platform version level episode season part act vol volume"
    " глава node top iphone ios windows win android pixel galaxy xbox playstation ps ps5 fifa gta python java"
    " unit clause section paragraph natural nat track gate row seat lane lap round set step exit minus zero total score chapter lvl ver итого минус плюс ac hp mp dc dex cfg seed scale strength сид шаг шагов сэмплер case friday monday tuesday wednesday thursday saturday sunday пятница понедельник вторник среда четверг суббота воскресенье номер айфон андроид винда винды топ"
    " уровень лвл версия"
)
_VERSIONED: Forms = word_set(
    "node iphone ios windows win android python java айфон андроид винда level уровень"
)
_OR_ELSE: Forms = word_set("to from not не на с до")
# Beside these a year is that of a birth.
_PROOFS: Forms = word_set(
    "passport id papers certificate licence license паспорт свидетельство анкета метрика документ документы"
)
_WE: Forms = word_set("we us нам мы нас")
_MADE: Forms = word_set("model edition version remake release photo pic picture модель версия фото")
_GOT: Forms = word_set("got get gets scored rolled")
_ARE: Forms = word_set("are is was were s re be both each по")
_PARTNERS: Forms = word_set("муж жена супруг супруга husband wife")
_OF_YEARS: Forms = word_set("годовщина anniversary юбилей стаж брак marriage свадьба wedding")
_YEARS: Forms = word_set("year years yr yrs год лет годик")
_VERBS_OF_AGE: Forms = word_set(
    "celebrate celebrated celebrating mark marked near nearing approach approaching pass passed"
    " touch touching finish finished complete completed enter entering start starting started"
    " live lived living exist existed swear promise admit lie lied mean means meant"
    " sound sounds pretend pretending remain remains stay"
)
# An English verb before these says nothing of a number after them.
_NEW_CLAUSE: Forms = word_set("but because cuz bc cause coz if when while though although")
_FEET: Forms = word_set("ft foot feet")
_DETERMINERS: Forms = word_set("a an the my your his her our their")
_CLAUSE, _NEAR = 12, 3  # words
# Those of a side by side enumeration of the words after a number belong to what follows.
_ENDS: Forms = age_english.UNTIL | word_set("n but cuz cause bc lol so she he i you и а но что")
_MIN_WORDS = 3
# After these, Russian nouns are in the plural.
_TENS = range(10, 18)
_LAST_DIGIT = 9
_BEFORE_A_FEW: Forms = word_set(
    "of half need needs want take takes get got make makes нужно надо хватит взять"
)
_LAST_HOUR, _LAST_HOUR_ENGLISH = 24, 12


def is_understood(context: NumberContext) -> bool:
    """Whether a number is read as something else than an age."""
    if age_english.has_candles(context):
        return False
    return (
        context.near(_OF_YEARS, before=6)
        or _is_of_a_couple(context)
        or context.number.is_ordinal
        or context.number.is_roman
        or context.number.is_plural
        or _is_itself(context)
        or (bool(context.word_before & _FEET) and not context.starts_clause)
        or bool(context.number.letter)
        or _counts(context)
        or _is_label(context)
        or _is_time(context)
        or _is_among_numbers(context)
        or _is_of_a_few(context)
        or (bool(context.word_before & {"a"}) and context.near(_GOT, before=2))
        or has_verb(context)
    )


def is_span(context: NumberContext) -> bool:
    """Whether a number of years is no age but a span of time."""
    if age_russian.is_at_an_age(context) or age_russian.is_of_a_person(context):
        return False
    if (
        context.number.is_ordinal
        or age_english.is_span(context)
        or age_russian.is_span(context)
        or has_verb(context)
    ):
        return True
    if context.near(_OF_YEARS, before=6) or _is_of_a_couple(context):
        return True
    works = not word_classes.professions().isdisjoint(context.words_before[-1:])
    if works and not age_subject.is_person(context.word_before):
        return True  # "a plumber, 17 years"
    if context.near(_WE, before=4) and not context.word_before & _ARE:
        return True  # "we celebrate 15 years on Friday"
    return _has_thing(context, before=3, after=6)


def has_verb(context: NumberContext) -> bool:
    """Whether the clause of a number has a verb that is not said of ages."""
    after = itertools.takewhile(
        lambda each: not each[1] & _ENDS, zip(context.words_after, context.after, strict=True)
    )
    before = itertools.takewhile(lambda word: word not in _NEW_CLAUSE, context.clause_before[::-1])
    return any(map(_is_other_verb, (*before, *(word for word, _ in after))))


def is_other_year(context: NumberContext) -> bool:
    """Whether a year is that of an event or of a thing."""
    if age_subject.is_person(context.word_before) or context.near(_PROOFS, before=_NEAR):
        return False
    if age_subject.person_meant(context.word_before) and not context.after:
        return False  # "я 2010", "все 2009-2010"
    return (
        bool(context.word_before & (_IN | _SEASONS))
        or bool(
            context.second_after & {"a", "the", "my", "our"} and context.near({"year"}, after=5)
        )
        or has_verb(context)
        or context.near(_MADE, before=_NEAR, after=2)
        or _has_thing(context, before=_NEAR, after=3)
    )


def _counts(context: NumberContext) -> bool:
    rates = itertools.pairwise(context.after[:3])
    if any(one & {"a", "an", "per"} and other & age_english.UNITS for one, other in rates):
        return True  # "17 an hour", "17 gold a month"
    words = [("", NO_FORMS), *itertools.islice(_after_other_numbers(context), _MIN_WORDS)]
    for (before, _), (word, forms) in itertools.pairwise(words):
        if forms & _YEARS:
            return False
        if word in age_english.BEGINS_ANEW:
            break
        if word == "полных":  # "14 полных"
            return False
        if forms & (age_english.UNITS | age_russian.UNITS) or _is_counted_noun(word, context):
            return True
        if word.isascii():
            if _is_thing(before) and _is_thing(word):  # "a 12 bedroom house"
                return True
            continue
        if not (morphology.is_adjective(word) or morphology.is_adjective_of_many(word)):
            return False
    return age_english.is_counted(context)


def _after_other_numbers(context: NumberContext) -> Iterator[tuple[str, Forms]]:
    """Yield the words after a number, without those of an enumeration: "12 из 15 билетов"."""
    is_after_preposition = is_after_word = False
    for word, forms in zip(context.words_after, context.after, strict=True):
        if forms & _AROUND_NUMBERS:
            is_after_preposition |= not forms & _AND_OR
        elif word.isdecimal() or any(map(numbers.is_number_word, forms)):
            if is_after_word:
                return  # "nine and already four foot eleven"
            is_after_preposition = False
        elif is_after_preposition:
            return
        else:
            is_after_word = word.isascii()
            yield word, forms


def _is_counted_noun(word: str, context: NumberContext) -> bool:
    if word.isascii():  # an adverb such as "tho" may be a noun too
        is_one = bool(context.word_before & {"the"})  # "the 15 train"
        return (is_one or is_english_plural(word)) and _is_thing(word)
    if context.value in _TENS:
        return morphology.may_be_counted_in_tens(word)
    return morphology.may_be_counted(word)


def _is_thing(word: str) -> bool:
    return word.isascii() and (word_classes.is_thing(word) or word_classes.is_animal(word))


def _is_of_a_couple(context: NumberContext) -> bool:
    """Whether a number is how long a couple is together: "нам с мужем 16 лет"."""
    return context.near(_WE, before=5) and context.near(_PARTNERS, before=5)


def _is_label(context: NumberContext) -> bool:
    if not context.clause_before:
        return False
    if context.word_before & _OR_ELSE and context.near(_VERSIONED, before=_CLAUSE):
        return True  # "Android 14 …, going back to 13"
    return bool(context.word_before & _LABELS) or _has_thing(context, before=1)


def _has_thing(context: NumberContext, *, before: int, after: int = 0) -> bool:
    earlier = zip(context.clause_before[::-1], context.before[::-1], strict=False)
    later = zip(context.words_after[:after], context.after, strict=False)
    near = (*itertools.islice(earlier, before), *later)
    return any(itertools.starmap(age_things.is_thing, near))


def _is_time(context: NumberContext) -> bool:
    if not context.before and context.words_after[:1] in (("today",), ("tomorrow",)):
        return False  # "fourteen tomorrow, wish me luck"
    is_month_after = context.word_after | (
        context.second_after if context.word_after & _AROUND_NUMBERS else NO_FORMS
    )
    if context.near(_TIMES, before=4, after=3) or (context.word_before | is_month_after) & _DATES:
        return True
    if context.word_before & {"in"} and not context.after and len(context.before) > 1:
        return not context.before[-2] & _BE  # "be there in 15", but "I'm in 11"
    if context.word_before & _AT:
        return context.value <= _LAST_HOUR_ENGLISH
    return bool(context.word_before & _AT_RUSSIAN) and context.value <= _LAST_HOUR


def _is_of_a_few(context: NumberContext) -> bool:
    """Whether a number of one digit counts what was said before: "youngest of four", "half five"."""
    # Not by its forms: "on" is also read as `он`.
    is_on = context.words_before[-1:] == ("on",)
    return context.value <= _LAST_DIGIT and (is_on or bool(context.word_before & _BEFORE_A_FEW))


def _is_itself(context: NumberContext) -> bool:
    """Whether it is said what a number is: "13 is my lucky number"."""
    if not context.starts_clause or not context.word_after & {"is", "was"}:
        return False
    if context.words_after[1:2] and context.words_after[1] not in _DETERMINERS:
        return False
    later = [*zip(context.words_after, context.after, strict=True)][2:5]
    words = [word for word, _ in later]
    return any(itertools.starmap(age_things.is_thing, later)) and "age" not in words


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
