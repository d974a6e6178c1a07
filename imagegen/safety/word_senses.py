"""Words for a child that mean something else where they stand: "hey baby", "in D minor"; pure."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imagegen.safety.age_context import Forms, word_set
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord, sentences
from imagegen.safety.numbers import forms_of

# After `minor` as a noun comes the end of a clause, or one of these.
_AFTER_A_PERSON = word_set(
    "is was are were and or in at on of who that to for under with by has had have can cannot must"
    " may will would as s from legally still not girl boy child student"
)
_DETERMINERS = word_set("the a my our your his her their this that it")
_AFTER_AN_INFANT = word_set("is was has boy girl sleeps cries needs s food shower clothes bump")


def in_adult_senses(sentence: NormalisedSentence) -> NormalisedSentence:
    """Return a sentence in which words that mean no child where they stand are replaced."""
    replaced = {*_addresses(sentence), *_minor_adjectives(sentence)}
    if not replaced:
        return sentence
    words = tuple(
        _neutral_word() if at in replaced else word for at, word in enumerate(sentence.words)
    )
    gone = {sentence.words[at].plain for at in replaced}
    glued = tuple(word for word in sentence.glued if word.plain not in gone)
    return replace(sentence, words=words, glued=glued)


def _addresses(sentence: NormalisedSentence) -> Iterator[int]:
    """Yield the indices of endearments that address somebody."""
    words = _words()
    names_and_nouns = words["pet_names"] | words["nouns"]
    if not any(forms_of(word) & names_and_nouns for word in sentence.words):
        return
    first = 0
    for last in sorted({*sentence.ends, len(sentence.words) - 1}):
        clause = sentence.words[first : last + 1]
        forms = [forms_of(word) for word in clause]
        names = [at for at, each in enumerate(forms) if each & words["pet_names"]]
        nouns = [at for at, each in enumerate(forms) if each & words["nouns"]]
        others = [
            at
            for at, each in enumerate(forms)
            if at not in names and at not in nouns and not each & words["around"]
        ]
        is_owned = any(each & words["owned"] for each in forms) or any(
            word.plain in words["groups"] for word in clause
        )
        if (is_owned and (names or nouns) and _is_of_adults(sentence)) or (
            not others and (names or is_owned)
        ):
            yield from (first + at for at in (*names, *nouns))
        elif names == [0] and clause[0].plain in {"baby", "babe"} and first == 0:
            if len(clause) > 1 and not forms[1] & _AFTER_AN_INFANT:
                yield first
        elif names and names[-1] == len(clause) - 1 and _is_greeting(forms[: names[0]]):
            yield from (first + at for at in names)
        first = last + 1


def _is_of_adults(sentence: NormalisedSentence) -> bool:
    """Whether a sentence speaks of work or marriage, and of no child."""
    return any(forms_of(word) & _words()["adult_life"] for word in sentence.words)


def _is_greeting(forms: Sequence[Forms]) -> bool:
    return bool(forms) and all(each & _words()["greetings"] for each in forms)


def _minor_adjectives(sentence: NormalisedSentence) -> Iterator[int]:
    for at, word in enumerate(sentence.words):
        if word.plain != "minor":
            continue
        before = sentence.words[at - 1].plain if at else ""
        after = sentence.words[at + 1].plain if at + 1 < len(sentence.words) else ""
        two_before = sentence.words[at - 2].plain if at > 1 else ""
        ends_clause = at in sentence.ends or not after
        is_key = len(before) == 1 and (before != "a" or two_before in {"in", "an", "the"})
        is_key = is_key or before in {"flat", "sharp", "ursa", "asia", "canis", "leo"}
        field = sentence.words[at + 2].plain if at + 2 < len(sentence.words) else ""
        is_study = after == "in" and field not in _DETERMINERS
        is_adjective = not ends_clause and after not in _AFTER_A_PERSON
        if is_key or is_adjective or is_study:
            yield at


@functools.cache
def _neutral_word() -> NormalisedWord:
    return next(sentences("dear")).words[0]


@functools.cache
def _words() -> dict[str, Forms]:
    return {name: frozenset(words) for name, words in shipped_lexicon("endearments").items()}
