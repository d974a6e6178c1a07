"""Reads a conversation for words of the vocabulary; Russian and English, in any form."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagegen.prompts import vocabulary
from imagegen.prompts.scene import CATEGORIES, Category, SceneSetting
from imagegen.prompts.vocabulary import Vocabulary, VocabularyWord, shipped_vocabulary

# What a scene needs is said soon; a longer text is not worth its time.
_MOST_CHARACTERS = 2_000
_LOOKS_BACK = 3
_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[.,;:!?…()\n«»“”\"—–*]")
_PARTS = re.compile(r"[.,;:!?…()\n«»“”\"—–*]")


@dataclass(frozen=True, kw_only=True)
class VocabularyHit:
    """A word of the vocabulary in a text."""

    category: Category
    key: str


# A term is a row of words, each in any of its forms.
_Term = tuple[frozenset[str], ...]


class ConversationReader:
    """Looks words up that it has inflected once; building one takes about half a second."""

    def __init__(self, known: Vocabulary) -> None:
        self._known = known
        self._terms = _by_first_word(_terms(known))
        self._not = frozenset(map(vocabulary.normalised, known.passed.not_))
        self._left = frozenset(map(vocabulary.normalised, known.passed.left))
        self._gone = frozenset(map(vocabulary.normalised, known.passed.gone))
        safe = [_term(word, is_verb=False) for word in known.bare.safe]
        more = [_term(word, is_verb=False) for word in known.bare.suggestive]
        self._bare_for_safe, self._bare = _by_first_term([*safe, *more]), _by_first_term(more)

    def setting(self, texts: Sequence[str]) -> SceneSetting:
        """Say what texts tell, the one that counts most first; in each the first mention counts.

        What somebody did or wore at another place than the newest one is left out.
        """
        found: dict[Category, tuple[int, str]] = {}
        for age, text in enumerate(texts):
            for hit in self._hits_in(text):
                found.setdefault(hit.category, (age, hit.key))
            if len(found) == len(CATEGORIES):
                break
        return self._agreed(found)

    def is_bare(self, text: str, *, is_safe: bool) -> bool:
        """Whether a text shows somebody less dressed than a safe, or any, wording may."""
        terms = self._bare_for_safe if is_safe else self._bare
        words = _words(text, terms)
        return any(
            _length(term, words, at)
            for at, word in enumerate(words)
            for term in terms.get(word, ())
        )

    def _hits_in(self, text: str) -> Iterator[VocabularyHit]:
        words = _words(text[:_MOST_CHARACTERS], self._terms)
        at = 0
        while at < len(words):
            length, hits = self._longest(words, at)
            before = words[max(0, at - _LOOKS_BACK) : at]
            after = words[at + length : at + length + 1]
            yield from (hit for hit in hits if self._counts(hit, before, after))
            at += max(length, 1)

    def _longest(self, words: Sequence[str], at: int) -> tuple[int, list[VocabularyHit]]:
        candidates = [
            (_length(term, words, at), hit) for term, hit in self._terms.get(words[at], ())
        ]
        longest = max((length for length, _ in candidates), default=0)
        return longest, [hit for length, hit in candidates if length == longest and length]

    def _counts(self, hit: VocabularyHit, before: Sequence[str], after: Sequence[str]) -> bool:
        clause = _since_the_last_stop(before)
        if not self._not.isdisjoint(clause) or not self._gone.isdisjoint(after):
            return False
        return hit.category == "time" or self._left.isdisjoint(clause)

    def _agreed(self, found: dict[Category, tuple[int, str]]) -> SceneSetting:
        """Let place, activity and clothes agree: the newer wins, and an activity has its place."""
        if "activity" in found:
            age, key = found["activity"]
            places = self._known.activity[key].places
            if places and ("place" not in found or found["place"][0] > age):
                place = found.get("place", (0, ""))[1]
                found["place"] = (age, place if place in places else places[0])
            self._drop_unless_at("activity", places, found)
        if "clothes" in found:
            self._drop_unless_at("clothes", self._known.clothes[found["clothes"][1]].places, found)
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
    """Build the reader of the shipped vocabulary, once."""
    return ConversationReader(shipped_vocabulary())


def _terms(known: Vocabulary) -> Iterator[tuple[_Term, VocabularyHit]]:
    for category in CATEGORIES:
        words: Mapping[str, VocabularyWord] = getattr(known, category)
        for key, word in words.items():
            hit = VocabularyHit(category=category, key=key)
            for text in (*word.en, *word.ru):
                yield _term(text, is_verb=category == "activity"), hit


def _term(text: str, *, is_verb: bool) -> _Term:
    if text.startswith("="):
        return tuple(frozenset({word}) for word in vocabulary.normalised(text[1:]).split())
    return tuple(
        vocabulary.english_forms(word, is_verb=is_verb)
        if word.isascii()
        else vocabulary.russian_forms(word)
        for word in vocabulary.normalised(text).split()
    )


def _by_first_word(
    terms: Iterable[tuple[_Term, VocabularyHit]],
) -> dict[str, tuple[tuple[_Term, VocabularyHit], ...]]:
    found: dict[str, tuple[tuple[_Term, VocabularyHit], ...]] = {}
    for term, hit in terms:
        for form in term[0]:
            found[form] = (*found.get(form, ()), (term, hit))
    return found


def _by_first_term(terms: Iterable[_Term]) -> dict[str, tuple[_Term, ...]]:
    found: dict[str, tuple[_Term, ...]] = {}
    for term in terms:
        for form in term[0]:
            found[form] = (*found.get(form, ()), term)
    return found


def _words(text: str, known: Mapping[str, object]) -> list[str]:
    """Part a text into words and stops; a hyphen parts words that are not known with it."""
    words: list[str] = []
    for token in _TOKEN.findall(vocabulary.normalised(text)):
        if "-" in token and token not in known:
            words += token.split("-")
        else:
            words.append(token)
    return words


def _length(term: _Term, words: Sequence[str], at: int) -> int:
    """How many words a term takes from here, 0 if it is not here."""
    here = words[at : at + len(term)]
    fits = len(here) == len(term) and all(
        word in forms_ for word, forms_ in zip(here, term, strict=True)
    )
    return len(term) if fits else 0


def _since_the_last_stop(words: Sequence[str]) -> list[str]:
    clause: list[str] = []
    for word in reversed(words):
        if _PARTS.fullmatch(word):
            break
        clause.append(word)
    return clause
