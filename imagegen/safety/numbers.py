"""Which number a word stands for, in digits or letters, Russian or English; pure."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety.normalise import NormalisedWord

_EN_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_EN_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_RU_NAMES = (
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать"
    " тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать"
)
_RU_ORDINALS = (
    "нулевой первый второй третий четвертый пятый шестой седьмой восьмой девятый десятый"
    " одиннадцатый двенадцатый тринадцатый четырнадцатый пятнадцатый шестнадцатый семнадцатый"
    " восемнадцатый девятнадцатый"
)
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_RU_TENS = "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто сто"
_RU_HUNDREDS = "двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот"
_EN_TENS_ORDINALS = "twentieth thirtieth fortieth fiftieth"
_RU_TENS_ORDINALS = "двадцатый тридцатый сороковой пятидесятый"
THOUSAND = 1000
# Russian in Latin letters has no soft sign.
_WORDS = (
    {
        form: number
        for names in (_EN_NAMES, _RU_NAMES)
        for number, name in enumerate(names.split())
        for form in (name, name.replace("ь", ""))
    }
    | {
        form: 10 * number
        for names in (_EN_TENS, _RU_TENS)
        for number, name in enumerate(names.split(), start=2)
        for form in (name, name.replace("ь", ""))
    }
    | {"fiften": 15, "fiftteen": 15, "fivteen": 15, "sixten": 16, "sixtteen": 16, "sevnteen": 17}
    | {name: 100 * number for number, name in enumerate(_RU_HUNDREDS.split(), start=2)}
    | {"thousand": THOUSAND, "тысяча": THOUSAND, "dozen": 12, "дюжина": 12}
)
# Numbers that are no age of a minor so often in one piece: `s i x t e e n`.
TEENS = [word for word, number in _WORDS.items() if 10 < number < 20 and len(word) > 5]
_ORDINALS = (
    {
        name: number
        for names in (_EN_ORDINALS, _RU_ORDINALS)
        for number, name in enumerate(names.split())
    }
    | {
        name: 10 * number
        for names in (_EN_TENS_ORDINALS, _RU_TENS_ORDINALS)
        for number, name in enumerate(names.split(), start=2)
    }
    | {
        # Russian in Latin letters: `v vosmom klasse`.
        f"{stem}{ending}": number
        for stem, number in (("восм", 8), ("седм", 7))
        for ending in ("ой", "ом", "ого", "ому", "ую", "ая", "ый")
    }
)
# Shorter Roman numerals are words or letters more often than ages.
_ROMAN = {
    "vii": 7,
    "viii": 8,
    "xi": 11,
    "xii": 12,
    "xiii": 13,
    "xiv": 14,
    "xv": 15,
    "xvi": 16,
    "xvii": 17,
    "xviii": 18,
}
# Number words from 11 as they are misspelt or cut short: "читырнадцать", "семнаха", "fifeteen".
_MISSPELT = tuple(
    (re.compile(stem + ending), number)
    for ending, stems in (
        (
            r"н[ао](?:д?ц|т?ц|шк|х[аеиу]|хо|рик|ж?к)\w*",
            r"од[еие]н+а?д? дв[еи] тр[иыея]н? ч[еиы]т[ыие]р п[яеи]т[ьн]? ш[еыи]с?т?[ьн]? с[еи]м[ьн]? в[оа]с[еи]м[ьн]?",
        ),
        (
            r"t+(?:een|een?e|ean|ine|in|en|een+)n?s?",
            r"- - th?[iu]r+ fo[u]?r fi[fv]+e? six+ se?ve?n eigh?",
        ),
    )
    for number, stem in enumerate(stems.split(), start=11)
)
_MIN_MISSPELT = 6
_HARMLESS_STARTS = ("forten", "sixtin", "sixten")
_RU_STEMS = (
    "одно двух трех четырех пяти шести семи восьми девяти десяти одиннадцати двенадцати"
    " тринадцати четырнадцати пятнадцати шестнадцати семнадцати"
)
_RU_TENS_STEMS = "двадцати тридцати сорока пятидесяти шестидесяти семидесяти восьмидесяти девяноста"
_STEMS = {stem: number for number, stem in enumerate(_RU_STEMS.split(), start=1)}
_STEMS |= {
    f"{tens}{units}": 10 * number + unit
    for number, tens in enumerate(_RU_TENS_STEMS.split(), start=2)
    for unit, units in enumerate(("", *_RU_STEMS.split()[:9]))
}
# A word such as пятнадцатилетняя.
_COMPOUND = re.compile(f"({'|'.join(sorted(_STEMS, key=len, reverse=True))})лет(?:н|к|ие|оч)")
# `15-ти`, `8-й`, `16th`: how a number in digits is inflected.
_ORDINAL_ENDINGS_TEXT = "й м ю ой ый ая ом ем го му е х th st nd rd"
_ORDINAL_ENDINGS = set(_ORDINAL_ENDINGS_TEXT.split())
_ENDINGS = {*_ORDINAL_ENDINGS, "ти"}
_INFLECTED = re.compile(r"(\d{1,2})[мйяеюх]")
_WITH_F = re.compile(r"f(1\d)|(1\d)f")
_GROUP = re.compile(r"(u)([6-9]|1[0-7])s?|(?:(y)([7-9]|1[0-3])|(p)([3-7]))")
# A `1s` rather hides a 15.
_PLURAL = re.compile(r"([2-9]|1\d)s")
_LOOKALIKES = str.maketrans("lio|sbzoозбч", "110156200364")
_MAX_HARMLESS = 10
_DISGUISED_LENGTH = 2


# Other languages in Latin letters: a number word is one only before the word for years.
_FOREIGN = {
    "anos": "cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete sete oito nove"
    " dez onze doze treze catorze quatorze quinze dezesseis dezasseis dezessete dezassete",
    "ans": "cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "jahre": "funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn",
    "anni": "cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette",
    "lat": "piec szesc siedem osiem dziewiec dziesiec jedenascie dwanascie trzynascie czternascie"
    " pietnascie szesnascie siedemnascie",
    "let": "pet sest sedm osm devet deset jedenact dvanact trinact ctrnact patnact sestnact sedmnact",
    "ar": "fem sex sju atta nio tio elva tolv tretton fjorton femton sexton sjutton syv otte ni elleve tretten fjorten"
    " femten seksten sytten",
    "ani": "cinci sase sapte opt noua zece unsprezece doisprezece treisprezece paisprezece cincisprezece"
    " saisprezece saptesprezece",
    "jaar": "vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien",
}
_FOREIGN_OPENERS = {
    "anos": ("tengo", "tenho", "tiene", "cumplo"),
    "ans": ("j ai", "elle a", "il a"),
    "jahre": ("ich bin", "sie ist", "er ist", "bin"),
    "anni": ("ho", "ha"),
    "lat": ("mam",),
    "let": ("je mi", "je ji", "je mu", "mam"),
}
# What is no word of Russian or English needs no word for years.
_FOREIGN_TEENS = (
    "trece catorce dieciseis diecisiete treze catorze quatorze quinze dezesseis dezasseis dezessete dezassete douze"
    " treize dreizehn vierzehn funfzehn sechzehn siebzehn undici tredici quattordici quindici sedici diciassette"
    " jedenascie dwanascie trzynascie czternascie pietnascie szesnascie siedemnascie dertien veertien vijftien"
    " zestien zeventien dvanact trinact ctrnact patnact sestnact sedmnact tretton fjorton femton sjutton tretten"
    " fjorten femten seksten sytten treisprezece paisprezece cincisprezece saisprezece saptesprezece"
)
_TURKISH = [
    "bes",
    "alti",
    "yedi",
    "sekiz",
    "dokuz",
    "on",
    "onbir",
    "oniki",
    "onuc",
    "ondort",
    "onbes",
    "onalti",
    "onyedi",
    "bir",
    "iki",
    "uc",
    "dort",
]


def foreign_ages() -> Iterator[str]:
    """Yield ages below 18 in words of other languages, as phrases such as "quince anos"."""
    for years, names in _FOREIGN.items():
        yield from (
            f"{name} {each}" for name in names.split() for each in (years, "лет", "years old")
        )
        for opener in _FOREIGN_OPENERS.get(years, ()):
            yield from (f"{opener} {name}" for name in names.split())
    yield from _FOREIGN_TEENS.split()
    yield from (f"{name} yas*" for name in _TURKISH)


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number that a word stands for.

    `is_age`: only an age is written in this way, so the sentence does not matter. `is_roman`: it
    may be the number of a king, a century or a chapter. `is_plural`: several are called by it, as in
    `the year 9s`. `letter`: what children of a group are called by, as in `u13s`, `y8` and `p6`.
    """

    value: int
    is_ordinal: bool = False
    is_age: bool = False
    is_roman: bool = False
    is_plural: bool = False
    letter: str = ""


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def number_of(word: NormalisedWord) -> Number | None:
    """Return the number that a word stands for, None if it is none."""
    if word.number is not None:
        return Number(value=word.number)
    if (roman := _ROMAN.get(word.plain)) is not None:
        return Number(value=roman, is_roman=True)
    has_digits = any(map(str.isdecimal, word.plain))
    if has_digits and (inflected := _INFLECTED.fullmatch(word.plain)):
        return Number(value=int(inflected.group(1)), is_ordinal=True)
    if has_digits and (found := _WITH_F.fullmatch(word.plain)):
        return Number(value=int(found.group(1) or found.group(2)), is_age=True)
    if has_digits and (group := _GROUP.fullmatch(word.plain)):
        letter, value = filter(None, group.groups())
        return Number(value=int(value), letter=letter)
    if has_digits and (plural := _PLURAL.fullmatch(word.plain)):
        return Number(value=int(plural.group(1)), is_plural=True)
    if has_digits and len(word.plain) == _DISGUISED_LENGTH:
        digits = word.plain.translate(_LOOKALIKES)
        return Number(value=int(digits)) if digits.isdecimal() else None
    return _number_in_letters(word, has_digits=has_digits)


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def forms_of(word: NormalisedWord) -> frozenset[str]:
    """Return all possible readings of a word, and their dictionary forms."""
    if word.plain.isdecimal():  # no word in disguise
        return frozenset({word.plain})
    guesses = word.readings[1:]
    forms = {
        form for reading in guesses for form in (reading, *morphology.lemmas_if_known(reading))
    }
    return frozenset(forms.union(morphology.lemmas(word.plain), [word.plain]))


def is_number_word(form: str) -> bool:
    """Whether a form is a number word, and no ordinal."""
    return form in _WORDS


def is_ending(word: NormalisedWord) -> bool:
    """Whether a word may be the ending of a number in digits, as in `15-ти`."""
    return word.plain in _ENDINGS


def is_end_of_an_ordinal(word: NormalisedWord) -> bool:
    """Whether a word may be the ending of an ordinal number in digits, as in `15th`."""
    return word.plain in _ORDINAL_ENDINGS


def _number_in_letters(word: NormalisedWord, *, has_digits: bool) -> Number | None:
    for reading in word.readings:
        if "лет" in reading and (compound := _COMPOUND.match(reading)):
            return Number(value=_STEMS[compound.group(1)], is_age=True)
    # Sorted, so that each process reads the same; "шестом" is of `шестой` rather than of `шесть`.
    forms = sorted(forms_of(word))
    if (
        ordinal := next((_ORDINALS[each] for each in forms if each in _ORDINALS), None)
    ) is not None:
        return Number(value=ordinal, is_ordinal=True)
    if (value := next((_WORDS[each] for each in forms if each in _WORDS), None)) is not None:
        # A number from 11 that is disguised, such as `f1fteen`, hides an age.
        return Number(value=value, is_age=has_digits and value > _MAX_HARMLESS)
    return next(filter(None, map(_misspelt_number, word.readings)), None)


def _misspelt_number(word: str) -> Number | None:
    if len(word) < _MIN_MISSPELT or word.startswith(_HARMLESS_STARTS) or morphology.is_known(word):
        return None
    return next((Number(value=value) for stem, value in _MISSPELT if stem.fullmatch(word)), None)
