"""The screen: what a text asks for that is never drawn, or never above safe."""

import enum
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagegen import lemmas
from imagegen.safety import ages, lexicon
from imagegen.safety.lexicon import Lexicon, Squeezed
from imagegen.safety.normalise import Sentence, Word, sentences

# Changes with every change of what is found: the audit says which screen refused.
VERSION = "1"

# The first rows of a word are as it was written; dictionary forms follow.
_WRITTEN = 4
_MINORS = ("looks", "family", "school", "diminutives")
_MINORS_DRAWN = {"looks", "family", "school", "age"}
_TITLED = re.compile(r"(?<![.!?…]\s)(?<!^)\b([A-ZА-ЯЁ][a-zа-яё]+)\s+([A-ZА-ЯЁ][a-zа-яё]+)\b")


class Verdict(enum.IntEnum):
    """What may come of a text; the worst of several counts."""

    CLEAR = 0
    # A harmless mention: the picture shows the persona alone, and never above safe.
    SAFE_ONLY = 1
    REFUSED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the screen says of a text, and by which rule; never a word of the text."""

    verdict: Verdict
    rule: str


CLEAR = Finding(verdict=Verdict.CLEAR, rule="none")


class Screen:
    """Looks at texts; no setting changes what it finds."""

    def __init__(self) -> None:
        minors = lexicon.shipped("minors")
        harm, people = lexicon.shipped("harm"), lexicon.shipped("people")
        self._lexicon = Lexicon(
            {
                **minors,
                **harm,
                "sexual": lexicon.shipped("sexual")["words"],
                "asking": lexicon.shipped("asking")["words"],
                **people,
            }
        )
        self._squeezed = Squeezed(minors["codes"], [*minors["looks"], *harm["acts"]])

    def conversation(self, text: str) -> Finding:
        """Look at what people wrote: mentions keep the picture safe, requests are refused."""
        return _worst(self._of_conversation(text))

    def prompt(self, text: str) -> Finding:
        """Look at a prompt that is about to be drawn: here a mention is a request."""
        return _worst(self._of_prompt(text))

    def _of_conversation(self, text: str) -> Iterator[Finding]:
        told: set[str] = set()
        for sentence in sentences(text):
            topics = self._topics(sentence)
            told |= topics
            yield from _in_a_sentence(topics)
        yield from _in_a_text(told)
        if _names_somebody(text):
            yield Finding(verdict=Verdict.SAFE_ONLY, rule="real_person")

    def _of_prompt(self, text: str) -> Iterator[Finding]:
        yield from self._of_conversation(text)
        for sentence in sentences(text):
            if self._topics(sentence) & _MINORS_DRAWN:
                yield Finding(verdict=Verdict.REFUSED, rule="minor_drawn")

    def _topics(self, sentence: Sentence) -> set[str]:
        topics = set(self._lexicon.topics(_haystack(sentence)))
        if any(self._squeezed.are_in(row) for row in _rows(sentence.words)):
            topics.add("codes")
        if ages.minor(sentence):
            topics.add("age")
        return topics


def _in_a_sentence(topics: set[str]) -> Iterator[Finding]:
    if "codes" in topics:
        yield Finding(verdict=Verdict.REFUSED, rule="minor_code")
    if "acts" in topics:
        yield Finding(verdict=Verdict.REFUSED, rule="violence")
    if topics & {"looks", "age"} and "asking" in topics:
        yield Finding(verdict=Verdict.REFUSED, rule="minor_asked")
    if topics.intersection(_MINORS) or "age" in topics:
        yield Finding(verdict=Verdict.SAFE_ONLY, rule="minor_mentioned")
    if "names" in topics:
        yield Finding(verdict=Verdict.SAFE_ONLY, rule="real_person")


def _in_a_text(topics: set[str]) -> Iterator[Finding]:
    if "sexual" not in topics:
        return
    if topics & {"looks", "age"}:
        yield Finding(verdict=Verdict.REFUSED, rule="minor_sexual")
    if "likeness" in topics:
        yield Finding(verdict=Verdict.SAFE_ONLY, rule="real_person")
    if "signs" in topics:
        yield Finding(verdict=Verdict.REFUSED, rule="no_consent")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spelled:
    """What a word may say: one form for each row in which phrases are looked for, and all others."""

    rows: tuple[str, ...]
    others: str


def _haystack(sentence: Sentence) -> str:
    """Return all that the sentence may say as one line of words, in order where order counts."""
    words = [_spelled(word) for word in sentence.words]
    others = [word.others for word in words]
    for word in sentence.glued:
        spelled = _spelled(word)
        others += (*spelled.rows, spelled.others)
    rows = (" ".join(row) for row in zip(*(word.rows for word in words), strict=True))
    return " . ".join((*rows, *others))


def _rows(words: tuple[Word, ...]) -> Iterator[tuple[str, ...]]:
    if len(words) > 1:
        yield from zip(*(_spelled(word).rows[:_WRITTEN] for word in words), strict=True)


@functools.lru_cache(maxsize=10_000)
def _spelled(word: Word) -> _Spelled:
    written = (word.plain, word.latin, word.cyrillic, word.translit)
    rows = (*written, lemmas.of(word.plain)[0], lemmas.of(word.translit)[0])
    forms = {form for reading in word.readings for form in (reading, *lemmas.of(reading))}
    return _Spelled(rows=rows, others=" . ".join(sorted(forms - set(rows))))


def _names_somebody(text: str) -> bool:
    # A first name and a surname beside each other: a real person, perhaps.
    for found in _TITLED.finditer(text):
        first, last = (part.lower().replace("ё", "е") for part in found.groups())
        if lemmas.is_name(first) and lemmas.is_name(last):
            return True
    return False


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(itertools.chain([CLEAR], findings), key=lambda found: found.verdict)
