"""Words for children and school that speak of no child where they stand; pure.

Unlike those of `word_senses` they refuse what they have refused, and are only no mention: a ship
called "Schoolboy", "a school of dolphins", idioms. Nothing counts as such of the user or the persona.
"""

import functools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from imagegen import morphology
from imagegen.safety import age_context, age_subject, word_classes
from imagegen.safety.age_context import ADULT, TIME_UNITS, Forms, word_set
from imagegen.safety.lexicon import shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord, plain, sentences

# What these words may mean besides a child.
TOPICS = frozenset(
    {"looks", "family", "school", "diminutives", "foreign", "implied", "lessons", "expecting"}
)
_CHILDHOOD = word_set("childhood детство")
_STREETS = word_set(
    "улица ул проспект переулок площадь остановка бульвар проезд шоссе тупик станция"
)
_SOPHOMORE_OF = word_set("album record slump season jinx effort single novel film")
_GARDEN = word_set(
    "garden plant plants tree trees rose roses tomato tomatoes seed seeds seedling seedlings pot pots compost"
    " flower flowers shrub shrubs hydrangeas dahlias pansies ferns bulbs fig herbs hedge soil"
)
_PUPILS = word_set(
    "boys girls children kids ребенок дети мальчик девочка школьник подросток малыш олимпиец родитель космонавт"
)
_ENGLISH_SCHOOLS = word_set("school daycare playground playgrounds")
_NO_INFANTS = ("infantr", "infantil", "infantad", "daughterb")
# Children are who goes there.
_CAMPS = word_set("орленок орленке орленка артек артеке артека")
_MAX_PHRASE = 6
_SPANS = TIME_UNITS | {"старше"}


def without_other_senses(
    sentence: NormalisedSentence,
    names: Forms,
    topics: AbstractSet[str],
    *,
    is_grown: bool,
    are_idioms_only: bool,
) -> NormalisedSentence:
    """Return a sentence without the words that speak of no child; the same if there are none.

    `names` are the words of names in the text, `topics` those of the sentence; `is_grown`: it tells
    of a life of adults. `are_idioms_only`: only idioms and works that everybody knows count.
    """
    if not topics & TOPICS or _counts_few_years(sentence):
        return sentence
    words = [word.plain for word in sentence.words]
    gone = {*_phrases(words)}
    if not are_idioms_only:
        gone |= {
            *(at for at, word in enumerate(words) if word in names and word not in _CAMPS),
            *_words_of_no_child(words, is_grown=is_grown),
            *_schools(words),
        }
    if not gone:
        return sentence
    kept = tuple(_neutral_word() if at in gone else word for at, word in enumerate(sentence.words))
    return replace(
        sentence,
        words=kept,
        glued=tuple(
            word for word in sentence.glued if not any(words[at] in word.plain for at in gone)
        ),
    )


def _words_of_no_child(words: Sequence[str], *, is_grown: bool) -> Iterator[int]:
    around = (*words, "")
    for at, word in enumerate(words):
        after = around[at + 1]
        if (
            (is_grown and _lemma(word) in _CHILDHOOD)
            or word.startswith(_NO_INFANTS)
            or (word == "childhood" and word_classes.is_thing(after))
            or (word == "братишка" and not at)
            or (word == "sophomore" and after in _SOPHOMORE_OF)
            or (word == "nursery" and not _GARDEN.isdisjoint(words))
        ):
            yield at


def _counts_few_years(sentence: NormalisedSentence) -> bool:
    """Whether a sentence has a span that may be the age of a minor: "Baby Noah, two months"."""
    return any(
        0 < context.value < ADULT and context.near(_SPANS, after=2)
        for context in age_context.numbers_in(sentence)
    )


def _schools(words: Sequence[str]) -> Iterator[int]:
    """Yield the indices of streets called after a school, and of schools of no children."""
    around = [*words, ""]
    for at, word in enumerate(words):
        after = around[at + 1]
        if word.startswith("школьн"):
            beside = {*map(_lemma, words[max(0, at - 1) : at + 2])}
            is_address = _lemma(word) == "школьный" and after.isdecimal()
            if is_address or not _STREETS.isdisjoint(beside):
                yield at
        elif word.startswith("школ") and _lemma(word) == "школа":
            if _is_of_adults(after):
                yield at
        elif word in _ENGLISH_SCHOOLS and _is_no_place_of_children(words, at):
            yield at


def _is_of_adults(word: str) -> bool:
    """Whether a Russian word is a noun for adults in the genitive plural: "школа гончаров"."""
    return morphology.is_genitive_of_many_people(word) and _lemma(word) not in _PUPILS


def _is_no_place_of_children(words: Sequence[str], at: int) -> bool:
    """Whether a school is a group of animals or for them, or a way of thinking."""
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    second = words[at + 2] if at + 2 < len(words) else ""
    if _is_animal(before) or (after == "for" and _is_animal(second)):
        return True
    return (
        after == "of"
        and second not in _PUPILS
        and (_is_animal(second) or word_classes.is_thing(second))
    )


def _phrases(words: Sequence[str]) -> Iterator[int]:
    """Yield the indices of words inside of idioms and of works and groups that everybody knows."""
    phrases, first_words = _known_phrases()
    lemmas = [_lemma(word) for word in words]
    for row in (words, lemmas):
        for at, word in enumerate(row):
            if word not in first_words:
                continue
            for length in range(2, _MAX_PHRASE + 1):
                if " ".join(row[at : at + length]) in phrases:
                    yield from range(at, min(at + length, len(row)))


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _is_animal(word: str) -> bool:
    animals = age_subject.subject_words()["animals"]
    if word.isascii() and word_classes.is_animal(word):
        return True
    return not animals.isdisjoint(morphology.lemmas(word))


def _lemma(word: str) -> str:
    return morphology.lemmas(word)[0]


@functools.cache
def _known_phrases() -> tuple[Forms, Forms]:
    lists = shipped_lexicon("idioms")
    phrases = {plain(phrase) for topic in lists.values() for phrase in topic}
    phrases |= {
        " ".join(_lemma(word) for word in phrase.split())
        for phrase in phrases
        if not phrase.isascii()
    }
    return frozenset(phrases), frozenset(phrase.split()[0] for phrase in phrases)


@functools.cache
def _neutral_word() -> NormalisedWord:
    return next(sentences("dear")).words[0]
