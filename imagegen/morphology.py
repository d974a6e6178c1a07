"""Dictionary forms and parts of speech of single words, Russian or English.

Russian comes from pymorphy3's dictionary, English from three rules for plurals.
All results are cached, of at most `CACHED_WORDS` words each.
"""

import functools

import pymorphy3
from pymorphy3.analyzer import Parse

# Here and in the screen. A word takes some 3 kB in all caches together, and they fill within days.
CACHED_WORDS = 3_000
_NEWEST_WORDS = 1_000
# A longer string is no word. It is not looked up and does not fill the cache.
_MAX_WORD_LENGTH = 60
# So that "is", "as" and "us" are not taken for plurals.
_MAX_LENGTH_WITHOUT_PLURAL = 2
# Other readings of a word are hardly ever meant.
_LIKELY = 0.15
_CASES = ("nomn", "gent", "datv", "accs", "ablt", "loct")


@functools.lru_cache(maxsize=1)
def analyser() -> pymorphy3.MorphAnalyzer:
    """Return the analyser of Russian words. The first call loads its dictionary of 15 MB."""
    return pymorphy3.MorphAnalyzer()


def lemmas(word: str) -> tuple[str, ...]:
    """Return the dictionary forms that a word may belong to, the likeliest first.

    For a Russian word that the dictionary lacks they are guessed. Any other string is returned as
    is.
    """
    return _lemmas(word) if word.isalpha() and len(word) <= _MAX_WORD_LENGTH else (word,)


def lemmas_if_known(word: str) -> tuple[str, ...]:
    """Return the same as `lemmas`, but a Russian word that the dictionary lacks as it is.

    A guess takes ten times as long, and for a misspelt word it has no value.
    """
    return (word,) if _is_russian(word) and not _is_known(word) else lemmas(word)


def is_name(word: str) -> bool:
    """Tell whether the likeliest reading of a Russian word is a first name or a surname."""
    return _is_russian(word) and _is_name(word)


def is_known(word: str) -> bool:
    """Tell whether the dictionary has a Russian word."""
    return _is_russian(word) and _is_known(word)


def is_unknown(word: str) -> bool:
    """Tell whether the dictionary lacks a Russian word, so that its forms are guessed."""
    return _is_russian(word) and not _is_known(word)


def may_be_first_name(word: str) -> bool:
    """Tell whether some reading of a word of the Russian dictionary is a first name."""
    return is_known(word) and _may_be_first_name(word)


def may_be_named(word: str) -> bool:
    """Tell whether a word may be a Russian first name in the nominative or the dative."""
    return _is_russian(word) and any(
        _may_be(word, ("Name", "sing", case)) for case in ("nomn", "datv")
    )


def is_noun(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a noun of the Russian dictionary."""
    return _is(word, "NOUN")


def may_be_counted(word: str) -> bool:
    """Tell whether a Russian word may be a noun, or stand for one, in a case after a number."""
    return _is_russian(word) and _may_be_counted(word)


def may_be_counted_in_tens(word: str) -> bool:
    """Tell whether a Russian word may be counted, in the plural as it is after 10 to 17."""
    return may_be_counted(word) and _may_be_many(word)


def is_person_in_dative(word: str) -> bool:
    """Tell whether a likely reading of a word is a living being in the dative, as `брату`."""
    return _is_russian(word) and _is_person_in_dative(word)


def is_inanimate(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian noun for a thing."""
    return _is(word, "NOUN", "inan")


def is_living_being(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian noun for one living being."""
    return _is(word, "NOUN", "anim", "sing")


def is_adjective_in_dative(word: str) -> bool:
    """Tell whether a Russian word is an adjective that may be in the dative, as `мелкой`."""
    return is_adjective(word) and _may_be(word, ("ADJF", "sing", "datv"))


def genders(word: str) -> frozenset[str]:
    """Return the genders of a Russian noun in the singular, and none in a case after prepositions."""
    return _genders(word) if _is_russian(word) else frozenset()


def is_thing_in_dative(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian noun for a thing, as in `дому`."""
    return _is(word, "NOUN", "inan", "datv")


def may_be_thing_in_dative(word: str) -> bool:
    """Tell whether some reading of a word is a Russian noun for a thing in the dative."""
    return _is_russian(word) and _may_be(word, ("NOUN", "inan", "datv"))


def is_nominative(word: str) -> bool:
    """Tell whether some reading of a Russian noun is in the nominative."""
    return _is_russian(word) and _may_be(word, ("NOUN", "nomn"))


def may_be_subject(before: str, word: str) -> bool:
    """Tell whether a Russian noun may be whom a sentence is about: "сын", "сыну", "у сына", not "с сыном".

    `before` is the word before the noun.
    """
    return (
        is_nominative(word)
        or _may_be(word, ("NOUN", "datv"))
        or (before == "у" and is_genitive(word))
    )


def is_genitive(word: str) -> bool:
    """Tell whether some reading of a Russian noun is in the genitive."""
    return _is_russian(word) and _may_be(word, ("NOUN", "gent"))


def is_genitive_of_many_people(word: str) -> bool:
    """Tell whether the likeliest reading of a word is living beings in the genitive, as `врачей`."""
    return any(_is(word, "NOUN", "anim", "plur", case) for case in ("gent", "accs"))


def is_said_to_you(word: str) -> bool:
    """Tell whether a Russian verb is in the second person or an imperative."""
    return _is_russian(word) and (_is(word, "2per") or _is(word, "impr"))


def is_past(word: str) -> bool:
    """Tell whether a Russian verb is in the past tense."""
    return _is(word, "VERB", "past")


def is_first_person(word: str) -> bool:
    """Tell whether a Russian verb is in the first person."""
    return _is(word, "1per")


def is_said_of_others(word: str) -> bool:
    """Tell whether a Russian verb is in the third person."""
    return _is(word, "3per")


def is_adjective(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian adjective or participle."""
    return _is(word, "ADJF") or _is(word, "PRTF")


def is_verb(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian verb with a person or a tense."""
    return _is(word, "VERB")


def is_adjective_of_many(word: str) -> bool:
    """Tell whether the likeliest reading of a word is a Russian adjective in the plural."""
    return _is(word, "ADJF", "plur")


def cases(word: str) -> set[str]:
    """Return a Russian noun or name in all cases of the singular, and always the word itself."""
    parses = [each for each in _parses(word) if {"NOUN", "sing", "nomn"} in each.tag]
    inflected = (parse.inflect({case}) for parse in parses for case in _CASES)
    return {word, *(form.word.replace("ё", "е") for form in inflected if form)}


# A new word is asked for several times while its message is read, and parses need much memory.
@functools.lru_cache(maxsize=_NEWEST_WORDS)
def _parses(word: str) -> list[Parse]:
    parses: list[Parse] = analyser().parse(word)
    return parses


@functools.lru_cache(maxsize=CACHED_WORDS)
def _lemmas(word: str) -> tuple[str, ...]:
    if word.isascii():
        return _english_singulars(word)
    forms = (parse.normal_form.replace("ё", "е") for parse in _parses(word))
    return tuple(dict.fromkeys(forms)) or (word,)


def _english_singulars(word: str) -> tuple[str, ...]:
    forms = [word]
    if word.endswith("ies"):
        forms.append(f"{word[:-3]}y")
    if word.endswith("es"):
        forms.append(word[:-2])
    if word.endswith("s") and len(word) > _MAX_LENGTH_WITHOUT_PLURAL:
        forms.append(word[:-1])
    return tuple(forms)


def _is_russian(word: str) -> bool:
    return word.isalpha() and not word.isascii() and len(word) <= _MAX_WORD_LENGTH


@functools.lru_cache(maxsize=CACHED_WORDS)
def _is_known(word: str) -> bool:
    return bool(analyser().word_is_known(word))


@functools.lru_cache(maxsize=CACHED_WORDS)
def _may_be_counted(word: str) -> bool:
    tag = _parses(word)[0].tag
    is_for_a_noun = ("ADJF" in tag or "PRTF" in tag) and {"plur", "gent"} in tag
    return "NOUN" in tag or is_for_a_noun


@functools.lru_cache(maxsize=CACHED_WORDS)
def _may_be_many(word: str) -> bool:
    tags = (parse.tag for parse in _parses(word))
    return any(
        (tag.number == "plur" and tag.case not in {"nomn", "accs"})
        or "Fixd" in tag
        or "Abbr" in tag
        for tag in tags
    )


@functools.lru_cache(maxsize=CACHED_WORDS)
def _is_person_in_dative(word: str) -> bool:
    return any(
        {"NOUN", "anim", "sing", "datv"} in parse.tag
        for parse in _parses(word)
        if parse.score > _LIKELY
    )


@functools.lru_cache(maxsize=CACHED_WORDS)
def _genders(word: str) -> frozenset[str]:
    tags = [parse.tag for parse in _parses(word) if "NOUN" in parse.tag]
    subjects = (tag for tag in tags if tag.case in {"nomn", "accs", "datv"})
    return frozenset(tag.gender for tag in subjects if tag.gender and tag.number == "sing")


@functools.lru_cache(maxsize=CACHED_WORDS)
def _may_be_first_name(word: str) -> bool:
    return any("Name" in parse.tag for parse in _parses(word))


@functools.lru_cache(maxsize=CACHED_WORDS)
def _is_name(word: str) -> bool:
    tag = _parses(word)[0].tag
    return "Name" in tag or "Surn" in tag


@functools.lru_cache(maxsize=CACHED_WORDS)
def _may_be(word: str, grammemes: tuple[str, ...]) -> bool:
    return any(set(grammemes) in parse.tag for parse in _parses(word))


def _is(word: str, *grammemes: str) -> bool:
    return _is_russian(word) and _is_known_as(word, grammemes)


@functools.lru_cache(maxsize=CACHED_WORDS)
def _is_known_as(word: str, grammemes: tuple[str, ...]) -> bool:
    return _is_known(word) and set(grammemes) in _parses(word)[0].tag
