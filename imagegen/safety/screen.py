"""The screen: what a text asks for that is never drawn, or never above safe."""

import functools
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety import age_detection, numbers, person_names, rules
from imagegen.safety.lexicon import Lexicon, Squeezed, shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord, StarredWords, sentences
from imagegen.safety.person_names import PersonNames
from imagegen.safety.rules import CLEAR, Finding, ScreenVerdict

__all__ = ["CLEAR", "VERSION", "Finding", "Screen", "ScreenVerdict", "shared_screen"]

# Changes with every change of what is found: the audit says which screen refused.
VERSION = "2"

# The first rows of a word are as it was written; dictionary forms follow.
_WRITTEN = 4
# How the prompt builder says who is drawn, up to the adult's age.
_IDENTITY = re.compile(r"\AA picture of ([^.\n]{1,200}), a fictional adult aged [2-9]\d\. ")


@functools.cache
def shared_screen() -> "Screen":
    """Return the screen of this process: it takes a while to make, and never changes."""
    return Screen()


class Screen:
    """Looks at texts; no setting changes what it finds."""

    def __init__(self) -> None:
        minors, harm = shipped_lexicon("minors"), shipped_lexicon("harm")
        people = shipped_lexicon("people")
        parted, as_written = minors.pop("parted"), minors.pop("as_written")
        self._lexicon = Lexicon(
            {
                **minors,
                **harm,
                **shipped_lexicon("sexual"),
                **shipped_lexicon("asking"),
                "likeness": people["likeness"],
                "names": [*person_names.inflected(people["names"])],
            },
            spared=shipped_lexicon("spared")["phrases"],
        )
        self._squeezed = Squeezed(
            [*minors["codes"], *as_written],
            [*minors["looks"], *parted, *harm["acts"]],
            whole=as_written,
        )
        self._starred = StarredWords([*minors["codes"], *as_written, *minors["looks"]])
        self._names = PersonNames()

    def conversation(self, *messages: str, persona: str = "") -> Finding:
        """Look at messages, in order: mentions keep the picture safe, requests are refused.

        `persona` is the name of who is drawn, which is nobody else's.
        """
        told = [(message, self._told(message)) for message in messages]
        return _worst(self._of_conversation(told, own_names=(persona,)))

    def prompt(self, text: str) -> Finding:
        """Look at a prompt that is about to be drawn: here a mention is a request."""
        return _worst(self._of_prompt(text))

    def _of_conversation(
        self, messages: Sequence[tuple[str, list[set[str]]]], *, own_names: Collection[str]
    ) -> Iterator[Finding]:
        before: set[str] = set()
        ever: set[str] = set()
        for message, topics_of_sentences in messages:
            told = set[str]().union(*topics_of_sentences)
            for topics in topics_of_sentences:
                yield from rules.find_in_sentence(topics)
            if told:
                yield from rules.find_in_message(told)
                yield from rules.find_in_neighbours(told | before)
            before = told
            ever |= told
            if self._names.are_in(message, besides=own_names):
                yield Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="real_person")
        yield from rules.find_in_talk(ever)

    def _of_prompt(self, text: str) -> Iterator[Finding]:
        # The last of the trigger words is the name.
        identity = _IDENTITY.match(text)
        name = identity.group(1).rpartition(", ")[2] if identity else ""
        told = self._told(text)
        yield from self._of_conversation([(text, told)], own_names=(name,))
        scene = text[identity.end() :] if identity else text
        if any(topics & rules.NEVER_IN_A_PROMPT for topics in told) or any(
            map(age_detection.may_draw_minor, sentences(scene))
        ):
            yield Finding(verdict=ScreenVerdict.REFUSED, rule="minor_drawn")

    def _told(self, text: str) -> list[set[str]]:
        """Return what each sentence speaks of."""
        told = [self._topics(sentence) for sentence in sentences(text)]
        return [*told, {"codes"}] if self._starred.are_in(text) else told

    def _topics(self, sentence: NormalisedSentence) -> set[str]:
        topics = set(self._lexicon.topics(_haystack(sentence)))
        if any(self._squeezed.are_in(row) for row in _rows(sentence.words)):
            topics.add("codes")
        if minors := age_detection.minors(sentence):
            topics.add("age")
            if any(age.is_own for age in minors):
                topics.add("own_age")
        return topics


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spelled:
    """What a word may say: one form for each row in which phrases are looked for, and all others."""

    rows: tuple[str, ...]
    others: str


def _haystack(sentence: NormalisedSentence) -> str:
    """Return all that the sentence may say as one line of words, in order where order counts."""
    words = [_spelled(word) for word in sentence.words]
    others = [word.others for word in words]
    for word in sentence.glued:
        spelled = _spelled(word)
        others += (*spelled.rows, spelled.others)
    rows = (" ".join(row) for row in zip(*(word.rows for word in words), strict=True))
    # Plain Russian and plain English say the same in several rows.
    return " . ".join(dict.fromkeys((*rows, *others)))


def _rows(words: tuple[NormalisedWord, ...]) -> Iterable[tuple[str, ...]]:
    rows = zip(*(_spelled(word).rows[:_WRITTEN] for word in words), strict=True)
    return dict.fromkeys(rows)


@functools.lru_cache(maxsize=10_000)
def _spelled(word: NormalisedWord) -> _Spelled:
    written = (word.plain, word.latin, word.cyrillic, word.translit)
    rows = (
        *written,
        morphology.lemmas(word.plain)[0],
        morphology.lemmas_if_known(word.translit)[0],
    )
    others = numbers.forms_of(word) - {*rows}
    return _Spelled(rows=rows, others=" . ".join(sorted(others)))


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(itertools.chain([CLEAR], findings), key=lambda found: found.verdict)
