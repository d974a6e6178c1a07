"""The screen: what a text asks for that is never drawn, or never above safe."""

import enum
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagegen import lemmas
from imagegen.safety import ages, lexicon
from imagegen.safety.lexicon import Fragments, Lexicon
from imagegen.safety.normalise import Sentence, sentences

# Changes with every change of what is found: the audit says which screen refused.
VERSION = "1"

_MINORS = ("looks", "family", "school", "diminutives")
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
                "people": [word for words in people.values() for word in words],
            }
        )
        self._fragments = Fragments([*minors["codes"], *minors["looks"], *harm["acts"]])

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
            if self._topics(sentence) & {"looks", "family", "school", "age"}:
                yield Finding(verdict=Verdict.REFUSED, rule="minor_drawn")

    def _topics(self, sentence: Sentence) -> set[str]:
        topics = set(self._lexicon.topics(_haystack(sentence)))
        if any(self._fragments.are_in(run) for run in sentence.runs):
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
    if "people" in topics:
        yield Finding(verdict=Verdict.SAFE_ONLY, rule="real_person")


def _in_a_text(topics: set[str]) -> Iterator[Finding]:
    if "sexual" not in topics:
        return
    if topics & {"looks", "age"}:
        yield Finding(verdict=Verdict.REFUSED, rule="minor_sexual")
    if "signs" in topics:
        yield Finding(verdict=Verdict.REFUSED, rule="no_consent")


def _haystack(sentence: Sentence) -> str:
    """Return all that the sentence may say as one line of words, in order where order counts."""
    rows: list[Iterable[str]] = [(word.plain for word in sentence.words)]
    rows.append(lemmas.of(word.plain)[0] for word in sentence.words)
    most = max(len(word.readings) for word in sentence.words)
    rows.extend(
        (word.readings[min(at, len(word.readings) - 1)] for word in sentence.words)
        for at in range(1, most)
    )
    every = (reading for word in sentence.words for reading in word.readings)
    rows.append(form for reading in every for form in lemmas.of(reading))
    rows.append(form for glued in sentence.glued for form in (glued, *lemmas.of(glued)))
    return " . ".join(" ".join(row) for row in rows)


def _names_somebody(text: str) -> bool:
    # A first name and a surname beside each other: a real person, perhaps.
    for found in _TITLED.finditer(text):
        first, last = (part.lower().replace("ё", "е") for part in found.groups())
        if lemmas.is_name(first) and lemmas.is_name(last):
            return True
    return False


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(itertools.chain([CLEAR], findings), key=lambda found: found.verdict)
