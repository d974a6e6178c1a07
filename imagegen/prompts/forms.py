"""Every form of a word of the vocabulary, so that people's words need only be looked up."""

import re

from imagegen import lemmas

# A participle is mostly an adjective of its own, and a verb has dozens of them.
_LEFT_OUT = {"PRTF", "PRTS"}
_DOUBLED = re.compile(r"[^aeiou][aeiou][bdgklmnprt]$")
_HISSES = ("s", "x", "z", "ch", "sh", "o")


def plain(word: str) -> str:
    """Spell a word as it is looked up: lower case, no ё, a straight apostrophe."""
    return word.casefold().replace("ё", "е").replace("’", "'")


def english(word: str, *, is_verb: bool = False) -> frozenset[str]:
    """Give the regular forms of an English word; some of them nobody uses, which does no harm."""
    forms = {word, *_with_s(word)}
    if is_verb:
        stem = word.removesuffix("e")
        forms |= {f"{stem}ing", f"{stem}ed"}
        if _DOUBLED.search(word):
            forms |= {f"{word}{word[-1]}ing", f"{word}{word[-1]}ed"}
    return frozenset(forms)


def russian(word: str) -> frozenset[str]:
    """Give the forms of a Russian word in its dictionary form; any other word has but itself."""
    word = plain(word)
    parses = [one for one in lemmas.analyser().parse(word) if plain(one.normal_form) == word]
    return frozenset(
        (
            word,
            *(
                plain(form.word)
                for one in parses
                for form in one.lexeme
                if form.tag.POS not in _LEFT_OUT
            ),
        )
    )


def _with_s(word: str) -> set[str]:
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return {f"{word[:-1]}ies"}
    if word.endswith("f"):
        return {f"{word[:-1]}ves", f"{word}s"}
    return {f"{word}es", f"{word}s"} if word.endswith(_HISSES) else {f"{word}s"}
