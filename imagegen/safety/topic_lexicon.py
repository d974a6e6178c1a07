"""The lexicon of the screen's topics, put together from the lists of this package."""

import functools
from collections.abc import Iterable, Iterator

from imagegen import morphology
from imagegen.safety import numbers, person_names, word_classes
from imagegen.safety.age_context import NO_FORMS, Forms, word_set
from imagegen.safety.lexicon import Lexicon, shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, plain

# The screen looks for these in other ways.
_LETTER_BY_LETTER = {"parted", "as_written"}
_BESIDE_OTHERS = {"professions", "kin", "relatives"}
_MAX_APPOSITION = 4
_ARTICLES, _TO_BE = word_set("a an"), word_set("is s became now")


@functools.cache
def shared() -> Lexicon:
    """Return the lexicon of all topics of this process, built once, since that takes long."""
    minors, people = shipped_lexicon("minors"), shipped_lexicon("people")
    grown = shipped_lexicon("grown")
    grown = {topic: grown[topic] for topic in grown if topic not in _BESIDE_OTHERS}
    return Lexicon(
        {
            **{topic: minors[topic] for topic in minors if topic not in _LETTER_BY_LETTER},
            **shipped_lexicon("harm"),
            **shipped_lexicon("sexual"),
            **_with_all_lemmas(grown),
            **_with_all_lemmas(shipped_lexicon("coming_of_age")),
            "adult_life": shipped_lexicon("endearments")["adult_life"],
            "foreign": [*shipped_lexicon("foreign")["words"], *numbers.foreign_ages()],
            **shipped_lexicon("asking"),
            "likeness": people["likeness"],
            "names": [*person_names.inflected(people["names"]), *people["offices"]],
        },
        spared=[*_with_lemmas(shipped_lexicon("spared")["phrases"])],
    )


def says_a_profession(sentence: NormalisedSentence) -> bool:
    """Whether somebody is said to have a profession: "she is a nurse", "сын мой хирург"."""
    professions, words = _professions(), sentence.words
    for at, word in enumerate(words):
        if _forms(word.plain).isdisjoint(professions):
            continue
        third, second, first = (
            _forms(words[at - back].plain) if at >= back else NO_FORMS for back in (3, 2, 1)
        )
        if first & _ARTICLES and (
            second & _TO_BE or (second & _relatives() and word.plain.isascii())
        ):
            return True
        if not word.plain.isascii() and _is_in_apposition(sentence, at):
            return True
        is_owned = ("мой" in first and second & _kin()) or (
            "я" in first and "у" in second and third & _kin()
        )
        if (first & _kin() or is_owned) and not word.plain.isascii():
            return True
    return False


def _is_in_apposition(sentence: NormalisedSentence, at: int) -> bool:
    """Whether a relative has a profession without a verb: "сын Людмилы, майор", "дочь у нас хирург"."""
    words = [word.plain for word in sentence.words]
    if not morphology.is_nominative(words[at]):
        return False
    for word in reversed(words[max(0, at - _MAX_APPOSITION) : at]):
        if morphology.is_verb(word):
            return False
        if _forms(word) & _relatives():
            return morphology.is_nominative(word) or at < _MAX_APPOSITION
    return False


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _forms(word: str) -> Forms:
    return frozenset({word, morphology.lemmas(word)[0]})


@functools.cache
def _professions() -> Forms:
    return word_classes.professions() | frozenset(shipped_lexicon("grown")["professions"])


@functools.cache
def _relatives() -> Forms:
    return frozenset(shipped_lexicon("grown")["relatives"])


@functools.cache
def _kin() -> Forms:
    return frozenset(shipped_lexicon("grown")["kin"])


def _with_lemmas(phrases: Iterable[str]) -> Iterator[str]:
    """Yield phrases, and the same in dictionary forms, as they stand in another row, or in the plural."""
    for phrase in phrases:
        yield phrase
        if _may_be_plural(phrase):
            yield f"{phrase}s"
        if not phrase.isascii() and not phrase.endswith("*"):
            yield " ".join(morphology.lemmas(plain(word))[0] for word in phrase.split())


def _may_be_plural(phrase: str) -> bool:
    first, _, last = phrase.rpartition(" ")
    if not phrase.isascii() or last.endswith(("s", "*")):
        return False
    return word_classes.is_thing(last) or (bool(first) and word_classes.is_person(last))


def _with_all_lemmas(lists: dict[str, list[str]]) -> dict[str, list[str]]:
    # "вырастет" is a wish, and "вырасти" none.
    return {
        topic: phrases if topic == "wishes" else [*_with_lemmas(phrases)]
        for topic, phrases in lists.items()
    }
