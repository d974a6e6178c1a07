"""Words for a child that mean something else where they stand: "hey baby", "in D minor"; pure."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imagegen import morphology
from imagegen.safety import age_context, number_meaning, word_classes
from imagegen.safety.age_context import ADULT, NO_FORMS, TIME_UNITS, Forms, word_set
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord, sentences
from imagegen.safety.numbers import forms_of

# After `minor` as a noun comes the end of a clause, or one of these.
_AFTER_A_PERSON = word_set(
    "is was are were and or in at on of who that to for under with by has had have can cannot must"
    " may will would as s from legally still not girl boy child student fyi lol lmao btw so but because"
    " if though tho please pls just haha i you he she we they my here too u ok then when until till yes"
    " running using posting pretending texting chatting behind no sorry rn sir dude bro man duh and also cuz bc cause n yet now today ugh"
)
# Beside these, "a minor" is a key: "a minor, then g". Not b and c, which are written for "be" and "see".
_NOTES, _OF_CHORDS = word_set("d e f g"), word_set("then потом chord chords аккорд major")
# What a school of children belongs to.
_PLACES = word_set(
    "город район село деревня поселок двор улица год день номер век искусство край область страна час утро отряд лагерь дружина звено"
)
_UNTIL = word_set("in for after within через за на")
_DETERMINERS = word_set("the a my our your his her their this that it")
_AFTER_AN_INFANT = word_set("is was has boy girl sleeps cries needs s food shower clothes bump")


def in_adult_senses(sentence: NormalisedSentence) -> NormalisedSentence:
    """Return a sentence in which words that mean no child where they stand are replaced."""
    replaced = {
        *_addresses(sentence),
        *_minor_adjectives(sentence),
        *_schools_of_subjects(sentence),
    }
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
    names_and_nouns = words["pet_names"] | words["nouns"] | {"little"}
    if not any(forms_of(word) & names_and_nouns for word in sentence.words):
        return
    if _may_give_an_age(sentence):
        return
    forms = [forms_of(word) for word in sentence.words]
    is_said_to_you = any(
        each & words["second"] or morphology.is_said_to_you(word.plain)
        for word, each in zip(sentence.words, forms, strict=True)
    )
    opener = 1 if forms[0] & words["pet_names"] and len(forms) > 1 else 0
    is_greeting = (
        forms[opener] & words["greetings"]
        or word_classes.is_verb(sentence.words[opener].plain)
        or (opener and forms[opener] & words["after_a_name"])
    ) and not any(morphology.is_past(word.plain) for word in sentence.words)
    is_naming = any(each & words["naming"] for each in forms) and any(
        each & words["partners"] for each in forms
    )
    first = 0
    for last in sorted({*sentence.ends, len(sentence.words) - 1}):
        clause = range(first, last + 1)
        names = [
            at
            for at in clause
            if forms[at] & words["pet_names"]
            or [word.plain for word in sentence.words[at - 1 : at + 1]] == ["little", "one"]
        ]
        nouns = [at for at in clause if forms[at] & words["nouns"]]
        others = [
            at
            for at in clause
            if at not in {*names, *nouns}
            and not forms[at] & words["around"]
            and not (at + 1 in names and sentence.words[at].plain == "little")
        ]
        is_owned = any(
            forms[at] & words["owned"] or sentence.words[at].plain in words["groups"]
            for at in clause
        )
        if not others and (names or is_owned):
            yield from (at for at in (*names, *nouns) if not _follows_an_article(sentence, at))
        elif _is_of_adults(sentence) and (
            own := [at for at in (*names, *nouns) if _belongs_to_somebody(sentence, forms, at)]
        ):
            yield from own
        elif is_naming:
            yield from names
        elif is_said_to_you or is_greeting:
            yield from (at for at in names if _is_vocative(sentence, forms, at))
        first = last + 1


def _may_give_an_age(sentence: NormalisedSentence) -> bool:
    """Whether a number of a sentence may be the age of a child: "Малышка, 9 мес", "a boy of six"."""
    return any(
        0 < context.value < ADULT
        and (
            (context.near(TIME_UNITS, after=2) and not context.word_before & _UNTIL)
            or (context.value > 1 and not number_meaning.is_understood(context))
        )
        for context in age_context.numbers_in(sentence)
    )


def _follows_an_article(sentence: NormalisedSentence, at: int) -> bool:
    """Whether an article stands before a word: "you're a kid", but "you're such a baby"."""
    before = [word.plain for word in sentence.words[max(0, at - 2) : at]]
    return before[-1:] in (["a"], ["the"]) and before[:1] != ["such"]


def _belongs_to_somebody(sentence: NormalisedSentence, forms: Sequence[Forms], at: int) -> bool:
    """Whether a word is called somebody's, or is a group of friends: "my sweet girl", "the girls"."""
    words = _words()
    word, after = sentence.words[at].plain, [each.plain for each in sentence.words[at + 1 : at + 2]]
    if word in words["children"] or (
        at not in sentence.ends and any(map(word_classes.is_thing, after))
    ):
        return False  # "my baby teeth"
    return word in words["groups"] or any(
        each & words["owned"] for each in forms[max(0, at - 2) : at]
    )


def _is_vocative(sentence: NormalisedSentence, forms: Sequence[Forms], at: int) -> bool:
    """Whether a pet name stands as a form of address in a sentence that is said to somebody."""
    before = forms[at - 1] if at else NO_FORMS
    if sentence.words[at].plain == "one":
        before = forms[at - 2] if at > 1 else NO_FORMS
    after = sentence.words[at + 1].plain if at + 1 < len(sentence.words) else ""
    word = sentence.words[at].plain
    if before & _words()["before_a_child"] or word in _words()["children"]:
        return False
    if at in sentence.ends or not after:
        two_before = sentence.words[at - 2].plain if at > 1 else ""
        return not before & {"ты", "you", "u"} or word_classes.is_verb(two_before)
    if not word.isascii():
        return morphology.is_nominative(word) and not morphology.is_said_of_others(after)
    is_compound = word_classes.is_thing(after) or after in _AFTER_AN_INFANT
    return not is_compound and not (word_classes.is_verb(after) and after.endswith("s"))


def _is_of_adults(sentence: NormalisedSentence) -> bool:
    """Whether a sentence speaks of work or marriage, and of no child."""
    return any(forms_of(word) & _words()["adult_life"] for word in sentence.words)


def _minor_adjectives(sentence: NormalisedSentence) -> Iterator[int]:
    plain_words = {word.plain for word in sentence.words}
    is_among_notes = bool(plain_words & _NOTES and plain_words & _OF_CHORDS) or any(
        len(note.plain) == 1 and key.plain == "major"
        for note, key in itertools.pairwise(sentence.words)
    )
    for at, word in enumerate(sentence.words):
        if word.plain != "minor":
            continue
        before = sentence.words[at - 1].plain if at else ""
        after = sentence.words[at + 1].plain if at + 1 < len(sentence.words) else ""
        two_before = sentence.words[at - 2].plain if at > 1 else ""
        ends_clause = at in sentence.ends or not after
        is_key = len(before) == 1 and (before != "a" or two_before in {"in", "an", "the"})
        is_key = is_key or before in {"flat", "sharp", "ursa", "asia", "canis", "leo"}
        is_key = is_key or (before == "a" and is_among_notes)
        field = sentence.words[at + 2].plain if at + 2 < len(sentence.words) else ""
        is_study = after == "in" and field not in _DETERMINERS
        is_noun_after = after.isascii() or morphology.is_inanimate(after)
        is_adjective = not ends_clause and is_noun_after and after not in _AFTER_A_PERSON
        if is_key or is_adjective or is_study:
            yield at


def _schools_of_subjects(sentence: NormalisedSentence) -> Iterator[int]:
    """Yield the indices of schools and pioneers of one subject: "школа танго", "пионер авиации"."""
    for at, (word, after) in enumerate(itertools.pairwise(sentence.words)):
        if not word.plain.startswith(("школ", "пионер")) or at in sentence.ends:
            continue
        is_subject = morphology.is_inanimate(after.plain) and morphology.is_genitive(after.plain)
        if is_subject and forms_of(word) & {"школа", "пионер"} and not forms_of(after) & _PLACES:
            yield at


@functools.cache
def _neutral_word() -> NormalisedWord:
    return next(sentences("dear")).words[0]


@functools.cache
def _words() -> dict[str, Forms]:
    words = {name: frozenset(words) for name, words in shipped_lexicon("endearments").items()}
    professions = {*shipped_lexicon("grown")["professions"], *word_classes.professions()}
    adult_life = (words["adult_life"] | professions) - words["for_children"]
    return {**words, "adult_life": adult_life}
