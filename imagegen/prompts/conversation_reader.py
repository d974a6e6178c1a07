"""Finds words of the vocabulary in a conversation, Russian and English, in any grammatical form."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagegen.prompts.scene import CATEGORIES, Category, SceneSetting
from imagegen.prompts.vocabulary import (
    Vocabulary,
    VocabularyWord,
    english_forms,
    normalised,
    russian_forms,
    shipped_vocabulary,
)

# What a scene needs mostly stands at the beginning; reading more of a message takes too long.
_MAX_CHARACTERS = 2_000
_NEGATION_DISTANCE = 3
_PUNCTUATION_CLASS = r"[.,;:!?…()\n«»“”\"—–*]"
_TOKEN = re.compile(rf"[^\W_]+(?:['-][^\W_]+)*|{_PUNCTUATION_CLASS}")
_PUNCTUATION = re.compile(_PUNCTUATION_CLASS)

# A sequence of words, each as the set of its forms.
_Term = tuple[frozenset[str], ...]


@dataclass(frozen=True, kw_only=True)
class VocabularyHit:
    """A word of the vocabulary that was found in a text."""

    category: Category
    key: str


class ConversationReader:
    """Looks up words whose forms it has generated once; building one takes about half a second."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._terms = _index_hits(_vocabulary_terms(vocabulary))
        self._not = frozenset(map(normalised, vocabulary.passed.not_))
        self._left = frozenset(map(normalised, vocabulary.passed.left))
        self._gone = frozenset(map(normalised, vocabulary.passed.gone))

    def setting(self, texts: Sequence[str]) -> SceneSetting:
        """Return what texts say of a scene; the first text counts most, and in it the first mention.

        An activity or clothes of an older text are left out if a newer text names another place.
        """
        found: dict[Category, tuple[int, str]] = {}
        for age, text in enumerate(texts):
            for hit in self._hits_in(text):
                found.setdefault(hit.category, (age, hit.key))
            if len(found) == len(CATEGORIES):
                break
        return self._consistent_setting(found)

    def _hits_in(self, text: str) -> Iterator[VocabularyHit]:
        words = _words(text[:_MAX_CHARACTERS], self._terms)
        index = 0
        while index < len(words):
            length, hits = self._longest_hits(words, index)
            before = words[max(0, index - _NEGATION_DISTANCE) : index]
            after = words[index + length : index + length + 1]
            yield from (hit for hit in hits if not self._is_negated(hit, before, after))
            index += max(length, 1)

    def _longest_hits(self, words: Sequence[str], index: int) -> tuple[int, list[VocabularyHit]]:
        """Return the hits of the most words from this index on, and how many words they take."""
        candidates = [
            (_matched_words(term, words, index), hit)
            for term, hit in self._terms.get(words[index], ())
        ]
        longest = max((length for length, _ in candidates), default=0)
        return longest, [hit for length, hit in candidates if length == longest and length]

    def _is_negated(self, hit: VocabularyHit, before: Sequence[str], after: Sequence[str]) -> bool:
        clause = _since_punctuation(before)
        if not self._not.isdisjoint(clause) or not self._gone.isdisjoint(after):
            return True
        return hit.category != "time" and not self._left.isdisjoint(clause)

    def _consistent_setting(self, found: dict[Category, tuple[int, str]]) -> SceneSetting:
        """Make place, activity and clothes agree.

        `found` has by category the age of a text (0 is the newest) and the key found there. An
        activity of a newer text than the place brings a place of its own. Then what does not fit
        the place is dropped.
        """
        if "activity" in found:
            age, key = found["activity"]
            places = self._vocabulary.activity[key].places
            if places and ("place" not in found or found["place"][0] > age):
                place = found.get("place", (0, ""))[1]
                found["place"] = (age, place if place in places else places[0])
            self._drop_unless_at("activity", places, found)
        if "clothes" in found:
            places = self._vocabulary.clothes[found["clothes"][1]].places
            self._drop_unless_at("clothes", places, found)
        return SceneSetting(**{category: key for category, (_, key) in found.items()})

    def _drop_unless_at(
        self, category: Category, places: Sequence[str], found: dict[Category, tuple[int, str]]
    ) -> None:
        age, _ = found[category]
        if "place" not in found:
            return
        place_age, place = found["place"]
        if age > place_age or (places and place not in places):
            del found[category]


@functools.cache
def shipped_reader() -> ConversationReader:
    """Return the reader of the vocabulary in the package; built once."""
    return ConversationReader(shipped_vocabulary())


def _vocabulary_terms(vocabulary: Vocabulary) -> Iterator[tuple[_Term, VocabularyHit]]:
    for category in CATEGORIES:
        entries: Mapping[str, VocabularyWord] = getattr(vocabulary, category)
        for key, entry in entries.items():
            hit = VocabularyHit(category=category, key=key)
            for text in (*entry.en, *entry.ru):
                yield _term(text, is_verb=category == "activity"), hit


def _term(text: str, *, is_verb: bool) -> _Term:
    if text.startswith("="):  # this form only
        return tuple(frozenset({word}) for word in normalised(text[1:]).split())
    return tuple(
        english_forms(word, is_verb=is_verb) if word.isascii() else russian_forms(word)
        for word in normalised(text).split()
    )


def _index_hits(
    terms: Iterable[tuple[_Term, VocabularyHit]],
) -> dict[str, tuple[tuple[_Term, VocabularyHit], ...]]:
    """Index terms and their hits by each form of the first word."""
    index: dict[str, tuple[tuple[_Term, VocabularyHit], ...]] = {}
    for term, hit in terms:
        for form in term[0]:
            index[form] = (*index.get(form, ()), (term, hit))
    return index


def _words(text: str, index: Mapping[str, object]) -> list[str]:
    """Split a text into words and punctuation; a hyphenated word only if the index lacks it."""
    words: list[str] = []
    for token in _TOKEN.findall(normalised(text)):
        if "-" in token and token not in index:
            words += token.split("-")
        else:
            words.append(token)
    return words


def _matched_words(term: _Term, words: Sequence[str], index: int) -> int:
    """Return how many words the term has if it stands at this index, else 0."""
    candidates = words[index : index + len(term)]
    is_match = len(candidates) == len(term) and all(
        word in forms for word, forms in zip(candidates, term, strict=True)
    )
    return len(term) if is_match else 0


def _since_punctuation(words: Sequence[str]) -> list[str]:
    """Return the words after the last punctuation mark, in reverse order."""
    clause: list[str] = []
    for word in reversed(words):
        if _PUNCTUATION.fullmatch(word):
            break
        clause.append(word)
    return clause
