"""The screen: finds what is never drawn, or only with the rating safe, in conversations and prompts."""

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

# To be raised with every change of what is found: the safety audit stores which version refused.
VERSION = "2"

# So many rows of a word are as it was written; those after them are dictionary forms.
_WRITTEN_ROWS = 4
# The beginning of a prompt, up to the age: see `identity_sentence` of imagegen/prompts/scene.py.
_IDENTITY = re.compile(r"\AA picture of ([^.\n]{1,200}), a fictional adult aged [2-9]\d\. ")


@functools.cache
def shared_screen() -> "Screen":
    """Return the screen of this process, built once, since building one takes long."""
    return Screen()


class Screen:
    """Checks texts against the lexicon and the rules; no setting changes what it finds."""

    def __init__(self) -> None:
        minors, harm = shipped_lexicon("minors"), shipped_lexicon("harm")
        people = shipped_lexicon("people")
        separated, as_written = minors.pop("parted"), minors.pop("as_written")
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
            [*minors["looks"], *separated, *harm["acts"]],
            whole=as_written,
        )
        self._starred = StarredWords([*minors["codes"], *as_written, *minors["looks"]])
        self._names = PersonNames()

    def conversation(self, *messages: str, persona: str = "") -> Finding:
        """Return the finding on messages, the oldest first.

        What only mentions something is SAFE_ONLY, what asks for it is REFUSED. `persona` is the name
        of the persona, which is not taken for that of a real person.
        """
        topics = [(message, self._topics_by_sentence(message)) for message in messages]
        return _worst(self._conversation_findings(topics, own_names=(persona,)))

    def prompt(self, text: str) -> Finding:
        """Return the finding on a prompt, where a mention of a minor is refused as a request is."""
        return _worst(self._prompt_findings(text))

    def _conversation_findings(
        self, messages: Sequence[tuple[str, list[set[str]]]], *, own_names: Collection[str]
    ) -> Iterator[Finding]:
        topics_before: set[str] = set()
        all_topics: set[str] = set()
        for message, topics_of_sentences in messages:
            message_topics = set[str]().union(*topics_of_sentences)
            for topics in topics_of_sentences:
                yield from rules.find_in_sentence(topics)
            if message_topics:
                yield from rules.find_in_message(message_topics)
                yield from rules.find_in_neighbours(message_topics | topics_before)
            topics_before = message_topics
            all_topics |= message_topics
            if self._names.are_in(message, besides=own_names):
                yield Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="real_person")
        yield from rules.find_in_talk(all_topics)

    def _prompt_findings(self, text: str) -> Iterator[Finding]:
        # The persona's name stands after the trigger words.
        identity = _IDENTITY.match(text)
        name = identity.group(1).rpartition(", ")[2] if identity else ""
        topics_of_sentences = self._topics_by_sentence(text)
        yield from self._conversation_findings([(text, topics_of_sentences)], own_names=(name,))
        scene = text[identity.end() :] if identity else text
        if any(topics & rules.NEVER_IN_A_PROMPT for topics in topics_of_sentences) or any(
            map(age_detection.may_draw_minor, sentences(scene))
        ):
            yield Finding(verdict=ScreenVerdict.REFUSED, rule="minor_drawn")

    def _topics_by_sentence(self, text: str) -> list[set[str]]:
        """Return the topics of each sentence; a starred word is added as a sentence of its own."""
        topics = [self._topics(sentence) for sentence in sentences(text)]
        return [*topics, {"codes"}] if self._starred.are_in(text) else topics

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
class _WordForms:
    """The forms of a word: one for each row, and all others separated by dots.

    A row is a sentence in one reading, such as the Latin one, in which phrases are searched for.
    """

    rows: tuple[str, ...]
    others: str


def _haystack(sentence: NormalisedSentence) -> str:
    """Return all readings of a sentence as one line: its rows, then the other forms of its words."""
    words = [_word_forms(word) for word in sentence.words]
    others = [word.others for word in words]
    for word in sentence.glued:
        forms = _word_forms(word)
        others += (*forms.rows, forms.others)
    rows = (" ".join(row) for row in zip(*(word.rows for word in words), strict=True))
    # Several rows of plain Russian or plain English are the same.
    return " . ".join(dict.fromkeys((*rows, *others)))


def _rows(words: tuple[NormalisedWord, ...]) -> Iterable[tuple[str, ...]]:
    """Return the readings of a sentence as it was written, without dictionary forms."""
    rows = zip(*(_word_forms(word).rows[:_WRITTEN_ROWS] for word in words), strict=True)
    return dict.fromkeys(rows)


@functools.lru_cache(maxsize=10_000)
def _word_forms(word: NormalisedWord) -> _WordForms:
    written = (word.plain, word.latin, word.cyrillic, word.translit)
    rows = (
        *written,
        morphology.lemmas(word.plain)[0],
        morphology.lemmas_if_known(word.translit)[0],
    )
    others = numbers.forms_of(word) - {*rows}
    return _WordForms(rows=rows, others=" . ".join(sorted(others)))


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(itertools.chain([CLEAR], findings), key=lambda found: found.verdict)
