"""The dictionary forms of a word, Russian or English."""

import functools

import pymorphy3

_ENOUGH = 30_000
_LONGEST = 60


@functools.lru_cache(maxsize=1)
def analyser() -> pymorphy3.MorphAnalyzer:
    """Give the analyser of Russian words, one a process: it holds a dictionary of 15 MB."""
    # Read once a process, when the first word needs it.
    return pymorphy3.MorphAnalyzer()


def of(word: str) -> tuple[str, ...]:
    """Return what a word may be a form of, likeliest first; the word itself if nothing is known."""
    # What is longer is no word, and is not remembered.
    return _of(word) if word.isalpha() and len(word) <= _LONGEST else (word,)


@functools.lru_cache(maxsize=_ENOUGH)
def _of(word: str) -> tuple[str, ...]:
    if word.isascii():
        return _english(word)
    forms = (parse.normal_form.replace("ё", "е") for parse in analyser().parse(word))
    return tuple(dict.fromkeys(forms)) or (word,)


def is_name(word: str) -> bool:
    """Say whether a Russian word is first of all somebody's first name or surname."""
    if word.isascii() or not word.isalpha() or len(word) > _LONGEST:
        return False
    return _is_name(word)


@functools.lru_cache(maxsize=_ENOUGH)
def _is_name(word: str) -> bool:
    tag = analyser().parse(word)[0].tag
    return "Name" in tag or "Surn" in tag


def _english(word: str) -> tuple[str, ...]:
    forms = [word]
    if word.endswith("ies"):
        forms.append(f"{word[:-3]}y")
    if word.endswith("es"):
        forms.append(word[:-2])
    if word.endswith("s"):
        forms.append(word[:-1])
    return tuple(forms)
