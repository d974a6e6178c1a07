"""The dictionary forms of a word, Russian or English."""

import functools

import pymorphy3

_ENOUGH = 30_000
_LONGEST = 60
_SHORTEST_PLURAL = 2
_CASES = ("nomn", "gent", "datv", "accs", "ablt", "loct")


@functools.lru_cache(maxsize=1)
def analyser() -> pymorphy3.MorphAnalyzer:
    """Give the analyser of Russian words, one a process: it holds a dictionary of 15 MB."""
    # Read once a process, when the first word needs it.
    return pymorphy3.MorphAnalyzer()


def lemmas(word: str) -> tuple[str, ...]:
    """Return what a word may be a form of, likeliest first; the word itself if nothing is known."""
    # What is longer is no word, and is not remembered.
    return _lemmas(word) if word.isalpha() and len(word) <= _LONGEST else (word,)


def lemmas_if_known(word: str) -> tuple[str, ...]:
    """Return the same of a word that the dictionary knows, and no guess at any other.

    A guess takes ten times as long, and of a misread word it is worth nothing.
    """
    is_russian = word.isalpha() and not word.isascii() and len(word) <= _LONGEST
    return (word,) if is_russian and not _is_known(word) else lemmas(word)


@functools.lru_cache(maxsize=_ENOUGH)
def _is_known(word: str) -> bool:
    return bool(analyser().word_is_known(word))


@functools.lru_cache(maxsize=_ENOUGH)
def _lemmas(word: str) -> tuple[str, ...]:
    if word.isascii():
        return _english(word)
    forms = (parse.normal_form.replace("ё", "е") for parse in analyser().parse(word))
    return tuple(dict.fromkeys(forms)) or (word,)


def is_name(word: str) -> bool:
    """Say whether a Russian word is first of all somebody's first name or surname."""
    if word.isascii() or not word.isalpha() or len(word) > _LONGEST:
        return False
    return _is_name(word)


def is_noun(word: str) -> bool:
    """Say whether a word is first of all a noun of the Russian dictionary."""
    return _is(word, "NOUN")


def is_adjective_of_many(word: str) -> bool:
    """Say whether a word is first of all a Russian adjective in the plural."""
    return _is(word, "ADJF", "plur")


def cases(word: str) -> set[str]:
    """Return a Russian noun or name in all cases of the singular; the word itself is always one."""
    parses = [each for each in analyser().parse(word) if {"NOUN", "sing", "nomn"} in each.tag]
    inflected = (parse.inflect({case}) for parse in parses for case in _CASES)
    return {word, *(form.word.replace("ё", "е") for form in inflected if form)}


@functools.lru_cache(maxsize=_ENOUGH)
def _is_name(word: str) -> bool:
    tag = analyser().parse(word)[0].tag
    return "Name" in tag or "Surn" in tag


def _is(word: str, *grammemes: str) -> bool:
    is_russian = word.isalpha() and not word.isascii() and len(word) <= _LONGEST
    return is_russian and _is_known_as(word, grammemes)


@functools.lru_cache(maxsize=_ENOUGH)
def _is_known_as(word: str, grammemes: tuple[str, ...]) -> bool:
    return _is_known(word) and set(grammemes) in analyser().parse(word)[0].tag


def _english(word: str) -> tuple[str, ...]:
    forms = [word]
    if word.endswith("ies"):
        forms.append(f"{word[:-3]}y")
    if word.endswith("es"):
        forms.append(word[:-2])
    if word.endswith("s") and len(word) > _SHORTEST_PLURAL:  # not is, as, us
        forms.append(word[:-1])
    return tuple(forms)
