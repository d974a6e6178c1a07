"""Ages that a sentence speaks of, in digits and words, Russian and English; pure."""

import functools
import itertools
from collections.abc import Iterator, Sequence

from imagegen import lemmas
from imagegen.safety.normalise import Sentence, Word

ADULT = 18

_EN_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_EN = _EN_NAMES.split()
_EN_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_EN_TENS = set(_EN_TENS_NAMES.split())
_RU_NAMES = (
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать"
    " тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать"
)
_RU = _RU_NAMES.split()
_RU_TENS_NAMES = "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто сто"
_RU_TENS = set(_RU_TENS_NAMES.split())
_WORDS = {word: number for words in (_EN, _RU) for number, word in enumerate(words)}
_TENS = _EN_TENS | _RU_TENS
_RU_STEMS = (
    "одно двух трех четырех пяти шести семи восьми девяти десяти одиннадцати двенадцати"
    " тринадцати четырнадцати пятнадцати шестнадцати семнадцати"
)
# As they begin a word such as пятнадцатилетняя.
_RU_COMPOUNDS = {
    f"{stem}{ending}": number
    for number, stem in enumerate(_RU_STEMS.split(), start=1)
    for ending in ("летн", "летк", "летие")
}

_YEARS = {"year", "yr", "y", "yrs"}
_OLD = {"old", "o", "young", "age"}
_YO = {"yo", "yos"}
_AGED = {"aged", "age", "ages", "возраст"}
_TURNING = {"turn", "turns", "turned", "turning", "исполниться", "исполняться", "стукнуть"}
_BEING = {
    "am",
    "is",
    "are",
    "m",
    "re",
    "s",
    "im",
    "youre",
    "shes",
    "hes",
    "только",
    "всего",
    "лишь",
}
_WAS = {"was", "were", "look", "looks", "looking", "appears", "seems", "выглядит", "выглядеть"}
_TO_WHOM = {"мне", "тебе", "ей", "ему"}
_BECAME = {"быть", "было", "будет", "стать", "уже", "скоро", "сейчас", "всего", "только", "лишь"}
# What is counted besides years.
_UNITS_TEXT = (
    "second minute hour day week month mile meter metre kilometer kilometre km kilo kg gram pound"
    " percent degree euro dollar page time cent o am pm euros times people"
    " секунда минута час день сутки неделя месяц метр километр км кг килограмм грамм процент"
    " градус рубль евро доллар раз страница человек штука балл"
)
_UNITS = set(_UNITS_TEXT.split())
_WHOM = {"я", "ты", "она", "он", "мы", "вы", "они", "мне", "тебе", "ей", "ему"}
_LET = {"год", "лето", "годик", "годок", "годы", "лет"}
# After `15 лет`: how long something took.
_SPAN_AFTER = {
    "назад",
    "вместе",
    "подряд",
    "спустя",
    "стаж",
    "опыт",
    "работать",
    "знакомый",
    "брак",
}
_SPAN_BEFORE = {"через", "за", "около", "последний", "следующий", "ближайший", "на", "свыше"}
_AFTER_AN_AGE = {"and", "now", "today", "but", "so", "or", "already", "again", "tomorrow", "и", "а"}
_LOOKALIKES = str.maketrans("lio|sbzoозбч", "110156200364")
_MOST = 2


def spoken_of(sentence: Sentence) -> Iterator[int]:
    """Return every number of the sentence that reads as somebody's age in years."""
    words = sentence.words
    for at, word in enumerate(words):
        if (compound := _compound(word)) is not None:
            yield compound
        elif (number := _number(words, at)) is not None and _is_age(words, at):
            yield number


@functools.lru_cache(maxsize=10_000)
def _compound(word: Word) -> int | None:
    for reading in word.readings:
        for stem, number in _RU_COMPOUNDS.items():
            if reading.startswith(stem):
                return number
    return None


def _number(words: Sequence[Word], at: int) -> int | None:
    word = words[at]
    if word.number is not None:
        return word.number
    if len(word.plain) == _MOST and any(sign.isdecimal() for sign in word.plain):
        meant = word.plain.translate(_LOOKALIKES)
        return int(meant) if meant.isdecimal() else None
    if at and _forms(words[at - 1]) & _TENS:  # twenty five
        return None
    numbers = (_WORDS[form] for form in _forms(word) if form in _WORDS)
    return next(numbers, None)


def _is_age(words: Sequence[Word], at: int) -> bool:
    before = [_forms(word) for word in words[max(0, at - 2) : at]]
    after = [_forms(word) for word in words[at + 1 : at + 4]]
    return _is_english_age(before, after) or _is_russian_age(before, after)


def _is_english_age(before: list[frozenset[str]], after: list[frozenset[str]]) -> bool:
    first, second = after[0] if after else frozenset(), after[1] if len(after) > 1 else frozenset()
    last = before[-1] if before else frozenset()
    if first & _YO or (first & _YEARS and second & _OLD) or (first & {"летний", "летн"}):
        return True
    if last & (_AGED | _TURNING) or (last & {"of", "is"} and before[0] & _AGED):
        return True
    if last & _WAS:
        return not first & (_UNITS | _YEARS)
    return bool(last & _BEING) and (not first or bool(first & _AFTER_AN_AGE))


def _is_russian_age(before: list[frozenset[str]], after: list[frozenset[str]]) -> bool:
    first, second = after[0] if after else frozenset(), after[1] if len(after) > 1 else frozenset()
    last = before[-1] if before else frozenset()
    if first & _LET:
        return not (second & _SPAN_AFTER or last & _SPAN_BEFORE)
    if last & {"лет", "год"}:
        return True
    earlier = before[0] if len(before) > 1 else frozenset()
    if last & _TO_WHOM or (last & _BECAME and earlier & _TO_WHOM):
        return not first & _UNITS
    return bool(last & _WHOM) and (not first or bool(first & _AFTER_AN_AGE))


@functools.lru_cache(maxsize=10_000)
def _forms(word: Word) -> frozenset[str]:
    return frozenset(form for reading in word.readings for form in (reading, *lemmas.of(reading)))


def minor(sentence: Sentence) -> bool:
    """Say whether an age below 18 is spoken of."""
    return any(0 < age < ADULT for age in itertools.chain(spoken_of(sentence)))
