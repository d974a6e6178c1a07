"""The verdicts on the topics of a sentence, of a message and of a conversation; pure."""

import enum
import itertools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from imagegen.safety.age_subject import Subject

_MINOR = {"looks", "age"}
_CHILDREN = {*_MINOR, "family", "school"}
_MENTIONED = {*_CHILDREN, "diminutives", "expecting", "perhaps_age", "implied", "foreign"}
RELATIVES = {"family", "diminutives", "pets"}
_NOT_GROWN = {*_MINOR, "school", "perhaps_age", "codes", "wishes"}
_NUDITY_OR_SEX = {"sexual", "nudity"}
# These topics may belong to a beach or a kitchen, so they count only within one sentence.
_CLOTHES_OR_BODY = {"clothes", "body"}
# Who is forced, asleep or drunk is drawn with nothing above safe, sexual words or not.
_HELPLESS = {"signs", "sleep", "helpless"}
# A right of adults that somebody does not have yet.
_IMPLIED = (
    {"too_young", "rights"},
    {"too_young", "goods"},
    {"later", "rights"},
    {"not_yet", "rights", "somebody"},
    {"refused", "rights", "somebody"},
    {"parents", "permission", "somebody"},
    {"parents", "refused", "somebody"},
    {"accompanied", "rights"},
    {"accompanied", "cannot", "somebody"},
    {"accompanied", "needed", "somebody"},
    {"fakes", "age_proof"},
    {"cannot", "yet", "rights"},
    {"denied", "goods", "somebody"},
    {"lessons"},
    {"parents", "consent"},
    {"parents", "summoned"},
    {"parents", "signing", "for_others"},
    {"parents", "marks"},
    {"majority", "yet"},
    {"too_young", "cannot"},
    {"too_young", "needed"},
    {"needed", "yet", "rights"},
    {"majority", "later"},
)
# The same where nothing in the sentence is of an adult's life.
_IMPLIED_OF_NO_ADULT = (
    {"refused", "somebody"},
    {"refused", "rights"},
    {"majority", "somebody"},
    {"accompanied", "goods"},
    {"parents", "find_out"},
)
ADULT_LIFE = {"grown", "adults", "studies", "adult_life", "adult_age"}
NEVER_IN_A_PROMPT = frozenset(_CHILDREN)
OF_MINORS = frozenset(
    {
        *_MENTIONED,
        "rights",
        "permission",
        "refused",
        "codes",
        "lessons",
        "goods",
        "parents",
        "majority",
        "accompanied",
    }
)
# What is said of a family is mostly said of others, unless somebody is described so.
OF_SPEAKER = OF_MINORS - RELATIVES | {"described"}
# Said of the one who speaks if of nobody else; family and school are mostly those of others.
OF_ANYBODY = frozenset(
    {
        "looks",
        "codes",
        "implied",
        "rights",
        "permission",
        "refused",
        "age",
        "lessons",
        "goods",
        "majority",
        "accompanied",
    }
)
# Who asks for these gives an age to the persona.
ASKED_OF_PERSONA = frozenset({"asking", "roles"})
# Beside these a word for a minor with a capital is what somebody is to be, and no name.
GIVING_A_ROLE = ASKED_OF_PERSONA | {"asking_perhaps", "address"}
# What ends that which is said beside a request, and what any request for a picture has.
REQUESTS = ASKED_OF_PERSONA | {"sending"}
ASKING = REQUESTS | {"pictures"}
# An age in numbers.
NUMBERS = frozenset({"age", "perhaps_age"})


class ScreenVerdict(enum.IntEnum):
    """What may be drawn for a text; of several verdicts the highest counts."""

    CLEAR = 0
    # The picture keeps its scene, with the rating safe.
    SAFE_RATING = 1
    # A harmless mention: the picture shows the persona alone, with the rating safe.
    SAFE_ONLY = 2
    REFUSED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The verdict of the screen, and the rule it follows from; it has no word of the text.

    `subject` is who is the minor, None if there is none, if that is not known or long ago.
    """

    verdict: ScreenVerdict
    rule: str
    subject: Subject | None = None


CLEAR = Finding(verdict=ScreenVerdict.CLEAR, rule="none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """The topics of one sentence, who the minors are of whom it speaks, and what of it is weighed.

    `unmentioned` are those of the topics that refuse what they always do, but mention no minor. The
    topic "learnt" says that its weighed words mean a minor, "no_age" that a number in it is no age.
    """

    names: AbstractSet[str] = frozenset()
    subjects: AbstractSet[Subject] = frozenset()
    unmentioned: AbstractSet[str] = frozenset()
    weighed: AbstractSet[str] = frozenset()

    @property
    def mentioned(self) -> AbstractSet[str]:
        """The topics that may mention a minor."""
        mentioned = self.names - self.unmentioned
        return mentioned - {"perhaps_age"} if "no_age" in self.names else mentioned


def topics_of_age(subject: Subject) -> Topics:
    """Return the topics of a sentence that says no more than that somebody is a minor."""
    names = {"age"} if subject is Subject.THIRD else {"age", "own_age"}
    return Topics(names=names, subjects={subject})


def without_adult_relatives(sentences: Sequence[Topics]) -> list[Topics]:
    """Return the topics without the family and the pet names that are said of adults.

    That somebody is grown up may be said in the next sentence, or in the sentence itself, unless it
    is said of somebody else there ("grown_apart"). Weighed words know only their own sentence.
    """
    return [
        replace(one, names=one.names - RELATIVES - (set() if "grown" in one.names else {"learnt"}))
        if one.names & RELATIVES
        and not one.names & _NOT_GROWN
        and not ("described" in one.names and "family" in one.names)
        and (
            one.names & {"grown", "grown_apart"} == {"grown"}
            or ("grown" in after.names and not after.names & _NOT_GROWN)
        )
        else one
        for one, after in itertools.pairwise((*sentences, Topics()))
    ]


def lessons_of_adults(topics: AbstractSet[str], *, is_grown: bool) -> set[str]:
    """Return the topics of school that are said of adults beside the other topics of a sentence."""
    if is_grown:
        return {"school", "lessons"}
    is_for_adults = {"school"} if "adults" in topics else set[str]()
    return is_for_adults | ({"lessons"} if topics & {"studies", "grown"} else set())


def find_in_sentence(topics: Topics) -> Iterator[Finding]:
    """Yield the findings on the topics of one sentence."""
    speaks_of_a_minor = False
    for finding in _find_in_sentence(topics.names, topics.mentioned):
        is_minor = finding.rule.startswith("minor")
        speaks_of_a_minor |= is_minor
        if is_minor and topics.subjects:
            yield from (replace(finding, subject=subject) for subject in sorted(topics.subjects))
        else:
            yield finding
    # Weighed words do not say who is meant, so nothing is remembered of anybody.
    if "learnt" in topics.names and not speaks_of_a_minor:
        yield _safe_only("minor_mentioned")


def _find_in_sentence(topics: AbstractSet[str], mentioned: AbstractSet[str]) -> Iterator[Finding]:
    if not topics:
        return
    if "codes" in topics:
        yield _refused(rule="minor_code")
    if "acts" in topics:
        yield _refused(rule="violence")
    if topics & _MINOR and _is_asked_to_draw(topics):
        yield _refused(rule="minor_asked")
    is_sexual = bool(topics & _NUDITY_OR_SEX)
    if (topics & _CHILDREN and is_sexual) or (topics & _MINOR and topics & _CLOTHES_OR_BODY):
        yield _refused(rule="minor_sexual")
    yield from _consent_findings(topics, is_sexual=is_sexual)
    if mentioned & _MENTIONED or _is_implied(mentioned):
        yield _safe_only("minor_mentioned")
    if "names" in topics:
        yield _safe_only("real_person")
    if topics & _HELPLESS:
        yield Finding(verdict=ScreenVerdict.SAFE_RATING, rule="helpless")


def find_in_message(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Yield the findings on the topics of all sentences of a message together."""
    if topics >= {"sum", "of_age"}:  # "4 squared. That's how old I am."
        yield _safe_only("minor_mentioned")
    if topics & _NUDITY_OR_SEX and "harm" in topics:
        yield _refused(rule="no_consent")
    if topics & _NUDITY_OR_SEX and "sleep" in topics:
        yield _safe_only("no_consent")
    yield from find_in_neighbours(topics)


def find_in_neighbours(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Yield the findings on the topics of two successive messages together, or of one."""
    if "likeness" in topics and topics & (_NUDITY_OR_SEX | _CLOTHES_OR_BODY):
        yield _safe_only("real_person")
    if not topics & _NUDITY_OR_SEX:
        return
    if topics & _MINOR:
        yield _refused(rule="minor_sexual")
    if "signs" in topics:
        yield _refused(rule="no_consent")
    if "harm" in topics:
        yield _safe_only("no_consent")


def find_in_talk(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Yield the findings on the topics of a whole conversation together.

    Somebody who has said to be a minor stays one in all later messages.
    """
    if topics & _NUDITY_OR_SEX and "own_age" in topics:
        yield _refused(rule="minor_sexual")


def _is_implied(topics: AbstractSet[str]) -> bool:
    """Whether topics say together that somebody is a minor."""
    return any(topics >= together for together in _IMPLIED) or (
        not topics & ADULT_LIFE and any(topics >= together for together in _IMPLIED_OF_NO_ADULT)
    )


def _consent_findings(topics: AbstractSet[str], *, is_sexual: bool) -> Iterator[Finding]:
    if "signs" in topics and (is_sexual or "clothes" in topics):
        yield _refused(rule="no_consent")
    if "harm" in topics and is_sexual:
        yield _refused(rule="no_consent")
    if "sleep" in topics and "sexual" in topics:
        yield _refused(rule="no_consent")
    # Not refused: these words are also said of harmless things (breakfast, sleeping naked).
    if topics & {"signs", "harm", "sleep"} and topics & {*_CLOTHES_OR_BODY, "nudity"}:
        yield _safe_only("no_consent")


def _is_asked_to_draw(topics: AbstractSet[str]) -> bool:
    # "looks like" and "a photo of" are said of one's family as often as asked of the persona.
    is_of_others = topics & {"family", "others"}
    return (
        "asking" in topics
        or ("asking_perhaps" in topics and not is_of_others)
        or ("asking_perhaps" in topics and "address" in topics)
    )


def _refused(*, rule: str) -> Finding:
    return Finding(verdict=ScreenVerdict.REFUSED, rule=rule)


def _safe_only(rule: str) -> Finding:
    return Finding(verdict=ScreenVerdict.SAFE_ONLY, rule=rule)
