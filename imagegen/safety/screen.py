"""The screen: finds what is never drawn, or only with the rating safe, in conversations and prompts."""

import datetime as dt
import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from chatflow_hook.prefilter import needs_reading
from chatflow_hook.turn import Message
from imagegen.safety import (
    age_context,
    age_detection,
    age_subject,
    age_things,
    dialog,
    grown_relatives,
    learnt_words,
    numbers,
    other_senses,
    proper_names,
    reading_time,
    rules,
    topic_lexicon,
)
from imagegen.safety.age_context import NO_FORMS, Forms
from imagegen.safety.age_detection import Age
from imagegen.safety.age_subject import USER, Person, Role, Subject, subject_of
from imagegen.safety.clauses import clauses_beside
from imagegen.safety.known_words import is_foreign, unknown_words
from imagegen.safety.labels import label_words
from imagegen.safety.lexicon import Lexicon, Squeezed, shipped_lexicon
from imagegen.safety.normalise import NormalisedSentence, StarredWords, sentences
from imagegen.safety.notation import in_other_layout, without_other_numbers
from imagegen.safety.person_names import PersonNames, without_surnames
from imagegen.safety.readings import searchable_line, written_rows
from imagegen.safety.rules import CLEAR, Finding, ScreenVerdict, Topics
from imagegen.safety.unicode_text import look_alikes, visible
from imagegen.safety.word_senses import in_adult_senses

__all__ = [
    "CLEAR",
    "VERSION",
    "Finding",
    "Screen",
    "ScreenVerdict",
    "Subject",
    "shared_screen",
    "worst",
]

# To be raised with every change of what is found: the safety audit stores which version refused.
VERSION = "13"

# A shorter word of the hard list may be a part of a harmless name.
_MIN_CODE = 3
# "Tell me!" after "I have a cat": "she" may still be the cat.
_SHORT_ASIDE = 3
# So many clauses with a number, or with a word for minors, are read beside requests in a message.
_MAX_CLAUSES = 12
# The last sentences of a message are the question that the next one answers.
_QUESTION = 2
# With two ages of adults, "twice" and "half" compare these.
_TWO = 2

# The beginning of a prompt, up to the age: see `identity_sentence` of imagegen/prompts/scene.py.
_IDENTITY = re.compile(r"\AA picture of ([^.\n]{1,200}), a fictional adult aged [2-9]\d\. ")


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


@functools.cache
def shared_screen() -> "Screen":
    """Return the screen of this process, built once, since building one takes long."""
    return Screen()


class Screen:
    """Checks texts against the lexicon and the rules; no setting changes what it finds."""

    def __init__(self, *, today: Callable[[], dt.date] = _today) -> None:
        self._today = today
        minors, harm = shipped_lexicon("minors"), shipped_lexicon("harm")
        separated, as_written = minors.pop("parted"), minors.pop("as_written")
        self._lexicon = topic_lexicon.shared()
        self._squeezed = Squeezed(
            [*minors["codes"], *as_written],
            [*minors["looks"], *separated, *harm["acts"]],
            whole=as_written,
        )
        self._spaced_ages = Squeezed((), numbers.TEENS, whole=())
        negative = shipped_lexicon("negative")
        self._adults = Lexicon({"adults": negative["adults"]}, spared=negative["spared"])
        self._codes = {code.rstrip("*") for code in minors["codes"] if len(code) > _MIN_CODE}
        self._starred = StarredWords([*minors["codes"], *as_written, *minors["looks"]])
        self._names = PersonNames()

    def conversation(self, *messages: str | Message, persona: str = "") -> Finding:
        """Return the worst finding on messages, the oldest first; a plain text is the user's.

        What only mentions something is SAFE_ONLY, what asks for it is REFUSED. `persona` is the name
        of the persona, which is not taken for that of a real person.
        """
        return worst(self.findings(*messages, persona=persona))

    def findings(self, *messages: str | Message, persona: str = "") -> list[Finding]:
        """Return all findings on messages, the oldest first, each once; a plain text is the user's."""
        return [*dict.fromkeys(self._conversation_findings(messages, own_names=(persona,)))]

    def caption(self, text: str) -> Finding:
        """Return the worst finding on a caption of a persona.

        It is read as a message, but by rules alone: weighed words give no reason that its author
        could mend.
        """
        return worst(self._conversation_findings([text], own_names=(), weighs_words=False))

    def prompt(self, text: str) -> Finding:
        """Return the worst finding on a prompt, where a mention of a minor is refused as a request is."""
        return worst(self.prompt_findings(text))

    def prompt_findings(self, text: str) -> list[Finding]:
        """Return all findings on a prompt, each once."""
        return [*dict.fromkeys(self._prompt_findings(text))]

    def label(self, text: str) -> Finding:
        """Return the finding on a name, such as that of a LoRA: its numbers are versions, not ages."""
        words = label_words(text)
        if any(code in word for word in unknown_words(words) for code in self._codes):
            return Finding(verdict=ScreenVerdict.REFUSED, rule="minor_code")
        return worst(self._drawn_findings(visible(words), own_names=()))

    def features(self, text: str) -> Iterator[AbstractSet[str]]:
        """Yield what has a weight in each sentence of a user's message."""
        for sentence in map(in_adult_senses, sentences(without_other_numbers(visible(text)))):
            yield self._topics_of(sentence, USER, NO_FORMS).weighed

    def keeps_adults_out(self, negative: str) -> bool:
        """Whether a negative prompt has words for adults, and so asks for somebody younger."""
        return any(
            any(self._adults.topics(searchable_line(sentence)))
            for sentence in sentences(visible(negative))
        )

    def _conversation_findings(
        self,
        messages: Sequence[str | Message],
        *,
        own_names: Collection[str],
        is_prompt: bool = False,
        weighs_words: bool = True,
        topics_read: list[Topics] | None = None,
    ) -> Iterator[Finding]:
        spoken = [*map(_message, messages)]
        # A prompt is read whole, however long that takes, since it is drawn as it stands.
        if not is_prompt:
            spoken = reading_time.readable(spoken)
        if len(spoken) < len(messages):
            yield Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="unread")
        topics = self._topics(
            spoken if is_prompt else [*map(_without_surnames, spoken)],
            is_prompt=is_prompt,
            weighs_words=weighs_words,
            topics_read=topics_read,
        )
        topics_before: set[str] = set()
        all_topics: set[str] = set()
        for message, topics_of_sentences in zip(spoken, topics, strict=True):
            message_topics = set[str]().union(*(each.names for each in topics_of_sentences))
            for of_sentence in topics_of_sentences:
                yield from rules.find_in_sentence(of_sentence)
            if message_topics:
                yield from rules.find_in_message(message_topics)
                yield from rules.find_in_neighbours(message_topics | topics_before)
            topics_before = message_topics
            all_topics |= message_topics
            if is_foreign(message.text):
                yield Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="unread")
            if self._names.are_in(
                message.text, besides=own_names, spares_acquaintances=not is_prompt
            ):
                yield Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="real_person")
        yield from rules.find_in_talk(all_topics)

    def _prompt_findings(self, text: str) -> Iterator[Finding]:
        # The persona's name stands after the trigger words.
        text = visible(text)
        identity = _IDENTITY.match(text)
        name = identity.group(1).rpartition(", ")[2] if identity else ""
        yield from self._drawn_findings(text, own_names=(name,))
        scene = without_other_numbers(text[identity.end() :] if identity else text)
        if any(
            age_detection.may_draw_minor(sentence, self._today()) for sentence in sentences(scene)
        ):
            yield Finding(verdict=ScreenVerdict.REFUSED, rule="minor_drawn")

    def _drawn_findings(self, text: str, *, own_names: Collection[str]) -> Iterator[Finding]:
        topics_read, _ = self._read(text, USER)
        # As a message it has each sign replaced that `visible` replaces, once more; if that changes
        # nothing it is not read again, since to read a prompt is a tenth of what a picture costs.
        yield from self._conversation_findings(
            [text],
            own_names=own_names,
            is_prompt=True,
            # The weights were learnt from talk, and a prompt is none.
            weighs_words=False,
            topics_read=topics_read if visible(text) == text else None,
        )
        if any(topics.names & rules.NEVER_IN_A_PROMPT for topics in topics_read):
            yield Finding(verdict=ScreenVerdict.REFUSED, rule="minor_drawn")

    def _topics(
        self,
        messages: Sequence[Message],
        *,
        is_prompt: bool,
        weighs_words: bool,
        topics_read: list[Topics] | None,
    ) -> list[list[Topics]]:
        """Return the topics of each message by sentence, and what it means by those before it.

        `topics_read` are what `_read` has returned for the only message, None if it was not asked.
        """
        by_sentence = self._topics_by_sentence(messages, topics_read)
        topics = [
            part if is_prompt else [*part, *self._beside_request(message, part)]
            for message, part in zip(messages, by_sentence, strict=True)
        ]
        today = self._today()
        for index in dialog.replies(messages) if weighs_words else ():
            topics[index] = _weighed_reply(
                topics[index], asked=by_sentence[index - 1], answered=by_sentence[index]
            )
        for index, no_ages in dialog.other_answers(messages):
            topics[index] = [replace(each, names=each.names - no_ages) for each in topics[index]]
        for index, answer in (
            *dialog.answers(messages, today),
            *dialog.ages_by_difference(messages, today),
        ):
            subject = subject_of(answer.person, answer.role)
            topics[index].append(rules.topics_of_age(subject))
        for index, text in dialog.joined_parts(messages):
            nearby = {
                name
                for part in topics[max(0, index - 2) : index + 1]
                for each in part
                for name in each.names
            }
            role = messages[index].role
            read = self._read(text, role)[0]
            for joined in read:
                if new := joined.names - nearby:
                    topics[index].append(replace(joined, names=new))
            topics[index].extend(self._beside_request(Message(role=role, text=text), read))
        for index, roles in dialog.given_roles(messages):
            topics[index] = [
                replace(each, subjects=roles if each.subjects else frozenset())
                for each in topics[index]
            ]
        if is_prompt:
            topics = [[replace(each, unmentioned=frozenset()) for each in part] for part in topics]
        return topics if weighs_words else [[*map(_without_learnt, part)] for part in topics]

    def _topics_by_sentence(
        self, messages: Sequence[Message], topics_read: list[Topics] | None
    ) -> list[list[Topics]]:
        """Return the topics of each sentence; a starred word is added as a sentence of its own."""
        read = [] if topics_read is None else [topics_read]
        named = NO_FORMS
        for message in messages if topics_read is None else ():
            topics_of_message, named = self._read(message.text, message.role, named)
            read.append(topics_of_message)
        sizes = [len(topics) for topics in read]
        flat = iter(rules.without_adult_relatives([*itertools.chain.from_iterable(read)]))
        topics = [[*itertools.islice(flat, size)] for size in sizes]
        for message, found in zip(messages, topics, strict=True):
            if self._starred.are_in(message.text):
                person = age_subject.person_said(next(sentences(message.text)))
                subjects = frozenset({subject_of(person, message.role)})
                found.append(Topics(names={"codes"}, subjects=subjects))
        return topics

    def _read(self, text: str, role: Role, named: Forms = NO_FORMS) -> tuple[list[Topics], Forms]:
        """Return the topics of each sentence, and the things that the last one names."""
        topics = []
        proper = proper_names.words_of_names(text)
        text = "\n".join(filter(None, (text, in_other_layout(text), look_alikes(text))))
        for sentence in sentences(without_other_numbers(text)):
            topics.append(self._topics_of(in_adult_senses(sentence), role, named, proper))
            if named and len(sentence.words) <= _SHORT_ASIDE:
                continue
            named = age_things.named_things(sentence)
        return topics, named

    def _topics_of(
        self,
        sentence: NormalisedSentence,
        role: Role,
        named: Forms,
        proper: Forms = NO_FORMS,
    ) -> Topics:
        names = set(self._lexicon.topics(searchable_line(sentence)))
        if any(self._squeezed.are_in(row) for row in written_rows(sentence.words)):
            names.add("codes")
        ages = [*age_detection.ages_in(sentence, self._today(), named_before=named)]
        is_other_grown = any(age.is_grown and age.person is not Person.FIRST for age in ages)
        names.update(self._grown_topics(sentence, names, is_other_grown=is_other_grown))
        if "family" in names and age_subject.is_described_as_child(sentence):
            names.add("described")
        minors = [age for age in ages if age.is_minor]
        is_grown = any(age.is_grown for age in ages) or age_detection.is_long_ago(sentence)
        names -= rules.lessons_of_adults(names, is_grown=is_grown)
        if is_grown:
            names.add("adult_age")
        if any(age.is_grown and age.years > age_context.ADULT for age in ages):
            names.discard("fakes")
        names.update(self._age_topics(sentence, {*names}, ages))
        subjects = frozenset[Subject]()
        if names & rules.OF_MINORS:
            subjects = frozenset(self._subjects(sentence, names, minors, role))
        if any(age.is_own for age in minors):
            names.add("own_age")
        unmentioned = self._unmentioned(sentence, names, proper)
        weighed = learnt_words.features(sentence, names - unmentioned)
        # "It's a new car. She is 15": of what was named before, the words say nothing.
        if not named and learnt_words.speak_of_a_minor(sentence, weighed):
            names.add("learnt")
        if (
            "perhaps_age" in names
            and not _is_about_user_or_persona(sentence, names)
            and learnt_words.tell_no_age(sentence, weighed)
        ):
            names.add("no_age")
        return Topics(names=names, subjects=subjects, unmentioned=unmentioned, weighed=weighed)

    def _grown_topics(
        self, sentence: NormalisedSentence, names: AbstractSet[str], *, is_other_grown: bool
    ) -> Iterator[str]:
        """Yield whether somebody is grown up, and whether that is said of others than the relatives."""
        if is_other_grown or topic_lexicon.says_a_profession(sentence):
            yield "grown"
        elif (
            "grown" in names
            and names & rules.RELATIVES
            and not grown_relatives.are_said_to_be_grown(sentence, self._topics_in)
        ):
            yield "grown_apart"

    def _unmentioned(
        self, sentence: NormalisedSentence, names: AbstractSet[str], proper: Forms
    ) -> AbstractSet[str]:
        """Return the topics of words that speak of no child where they stand.

        What is said of the user or the persona is what it says: "I go to Oak Hill School".
        """
        if _is_about_user_or_persona(sentence, names):
            return NO_FORMS
        # "She looks like a schoolgirl", but "he grins like a kid in a candy store".
        is_look = "looks" in names
        are_idioms_only = is_look and age_subject.person_in(sentence) is not None
        if is_look and not proper_names.says_a_name(sentence):
            proper = NO_FORMS
        read = other_senses.without_other_senses(
            sentence,
            proper,
            names,
            is_grown=bool(names & rules.ADULT_LIFE),
            are_idioms_only=are_idioms_only,
        )
        return (
            NO_FORMS if read is sentence else names & (other_senses.TOPICS - self._topics_in(read))
        )

    def _age_topics(
        self, sentence: NormalisedSentence, names: set[str], ages: list[Age]
    ) -> Iterator[str]:
        grown = sum(age.is_grown for age in ages)
        minors = [age for age in ages if age.is_minor]
        is_spaced = not minors and any(
            self._spaced_ages.are_in(row) for row in written_rows(sentence.words)
        )
        if "sums" in names and "of_age" not in names and age_context.numbers_in(sentence):
            yield "sum"
        if is_spaced or any(age.is_certain for age in minors):
            yield "age"
        is_sum = names >= {"sums", "of_age"} and grown < _TWO
        is_part = names >= {"ratios", "less"} and age_detection.names_grown_years(sentence)
        is_uncertain = any(not age.is_certain for age in minors)
        if is_sum or is_part or is_uncertain or age_detection.is_born_years_ago(sentence):
            yield "perhaps_age"

    def _subjects(
        self, sentence: NormalisedSentence, names: set[str], minors: list[Age], role: Role
    ) -> Iterator[Subject]:
        is_asked = role == USER and bool(names & rules.ASKED_OF_PERSONA)
        if is_asked:
            yield Subject.PERSONA
            # "Send me a selfie, I'm 15" is said of both.
            if any(age.is_of_speaker for age in minors):
                yield Subject.USER
        elif minors:
            yield from (
                subject_of(age.person, role)
                for age in minors
                if not age.is_past or age.person is Person.THIRD
            )
        elif names & rules.OF_ANYBODY:
            yield subject_of(age_subject.person_said(sentence), role)
        elif "foreign" not in names:
            yield subject_of(age_subject.person_described(sentence) or Person.THIRD, role)

    def _beside_request(self, message: Message, topics: Sequence[Topics]) -> list[Topics]:
        """Return what a user says of their own age in a sentence that asks for a picture.

        Each clause is read as a sentence of its own: "I'm 15 show me a photo" has no show of 15 years.
        `topics` are those of the message.
        """
        text = message.text
        if (
            message.role != USER
            or not any(each.names & rules.ASKING for each in topics)
            or not needs_reading(text)
        ):
            return []
        clauses = itertools.chain.from_iterable(
            clauses_beside(sentence, self._topics_in)
            for sentence in sentences(without_other_numbers(text))
            if self._topics_in(sentence) & rules.ASKING
        )
        for clause in itertools.islice(clauses, _MAX_CLAUSES):
            found = self._topics_of(in_adult_senses(clause.said), USER, NO_FORMS)
            is_of_user = Subject.USER in found.subjects
            if is_of_user and clause.may_be_of_user(found.names, self._topics_in):
                return [found]
        return []

    def _topics_in(self, words: NormalisedSentence) -> frozenset[str]:
        return frozenset(self._lexicon.topics(searchable_line(words)))


def _message(message: str | Message) -> Message:
    if isinstance(message, str):
        return Message(role=USER, text=visible(message))
    return message.model_copy(update={"text": visible(message.text)})


def _is_about_user_or_persona(sentence: NormalisedSentence, names: AbstractSet[str]) -> bool:
    """Whether a sentence is about the user or the persona, or gives somebody a role."""
    person = age_subject.person_in(sentence)
    return person in (Person.FIRST, Person.SECOND) or bool(names & rules.GIVING_A_ROLE)


def _weighed_reply(
    topics: list[Topics], *, asked: Sequence[Topics], answered: Sequence[Topics]
) -> list[Topics]:
    """Return the topics of an answer, with what its words mean together with those of its question."""
    question, answer = _weighed(asked[-_QUESTION:]), _weighed(answered)
    if learnt_words.answer_as_a_minor(question, answer):
        return [*topics, Topics(names={"learnt"})]
    if not _speaks_of_grown_people(asked) and learnt_words.answer_tells_no_age(question, answer):
        return [replace(each, names={*each.names, "no_age"}) for each in topics]
    return topics


def _speaks_of_grown_people(topics: Sequence[Topics]) -> bool:
    """Whether somebody's age is told, so that a number in the answer may be one too: "I'm 27", "16"."""
    return any(each.names & {"grown", "adult_age", "of_age"} for each in topics)


def _without_learnt(topics: Topics) -> Topics:
    return replace(topics, names=topics.names - {"learnt", "no_age"})


def _weighed(topics: Sequence[Topics]) -> frozenset[str]:
    return frozenset[str]().union(*(each.weighed for each in topics))


def _without_surnames(message: Message) -> Message:
    return message.model_copy(update={"text": without_surnames(message.text)})


def worst(findings: Iterable[Finding]) -> Finding:
    """Return the finding with the highest verdict; CLEAR if there is none."""
    return max(itertools.chain([CLEAR], findings), key=lambda found: found.verdict)
