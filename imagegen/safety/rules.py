"""What follows from the topics of a sentence, of a message, of a talk; pure."""

import enum
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

_DRAWN = {"looks", "age"}
_CHILDREN = {*_DRAWN, "family", "school"}
_MENTIONED = {*_CHILDREN, "diminutives", "expecting"}
_NUDITY_OR_SEX = {"sexual", "nudity"}
# They may be of a beach, a wardrobe or a kitchen, and say something only within a sentence.
_LIGHTER = {"clothes", "body"}
NEVER_IN_A_PROMPT = frozenset(_CHILDREN)


class ScreenVerdict(enum.IntEnum):
    """What may come of a text; the worst of several counts."""

    CLEAR = 0
    # A harmless mention: the picture shows the persona alone, and never above safe.
    SAFE_ONLY = 1
    REFUSED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the screen says of a text, and by which rule; never a word of the text."""

    verdict: ScreenVerdict
    rule: str


CLEAR = Finding(verdict=ScreenVerdict.CLEAR, rule="none")


def find_in_sentence(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Judge what is said in one sentence."""
    if not topics:
        return
    if "codes" in topics:
        yield _refused(rule="minor_code")
    if "acts" in topics:
        yield _refused(rule="violence")
    if topics & _DRAWN and _is_asked_for(topics):
        yield _refused(rule="minor_asked")
    is_sexual = bool(topics & _NUDITY_OR_SEX)
    if (topics & _CHILDREN and is_sexual) or (topics & _DRAWN and topics & _LIGHTER):
        yield _refused(rule="minor_sexual")
    yield from _of_consent(topics, is_sexual=is_sexual)
    if topics & _MENTIONED:
        yield _tame("minor_mentioned")
    if "names" in topics:
        yield _tame("real_person")


def find_in_message(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Judge what is said in all sentences of a message together."""
    if topics & _NUDITY_OR_SEX and "harm" in topics:
        yield _refused(rule="no_consent")
    if topics & _NUDITY_OR_SEX and "sleep" in topics:
        yield _tame("no_consent")
    yield from find_in_neighbours(topics)


def find_in_neighbours(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Judge what is said in a message and the one beside it together."""
    if "likeness" in topics and topics & (_NUDITY_OR_SEX | _LIGHTER):
        yield _tame("real_person")
    if not topics & _NUDITY_OR_SEX:
        return
    if topics & _DRAWN:
        yield _refused(rule="minor_sexual")
    if "signs" in topics:
        yield _refused(rule="no_consent")
    if "harm" in topics:
        yield _tame("no_consent")


def find_in_talk(topics: AbstractSet[str]) -> Iterator[Finding]:
    """Judge what is said in a whole talk together: who is a minor stays one."""
    if topics & _NUDITY_OR_SEX and "own_age" in topics:
        yield _refused(rule="minor_sexual")


def _of_consent(topics: AbstractSet[str], *, is_sexual: bool) -> Iterator[Finding]:
    if "signs" in topics and (is_sexual or "clothes" in topics):
        yield _refused(rule="no_consent")
    if "harm" in topics and is_sexual:
        yield _refused(rule="no_consent")
    if "sleep" in topics and "sexual" in topics:
        yield _refused(rule="no_consent")
    # Drunk people have breakfast, and people sleep naked.
    if topics & {"signs", "harm", "sleep"} and topics & {*_LIGHTER, "nudity"}:
        yield _tame("no_consent")


def _is_asked_for(topics: AbstractSet[str]) -> bool:
    # "looks like", "a photo of" are as often said of one's family as asked of the persona.
    is_of_others = topics & {"family", "others"}
    return (
        "asking" in topics
        or ("asking_perhaps" in topics and not is_of_others)
        or ("asking_perhaps" in topics and "address" in topics)
    )


def _refused(*, rule: str) -> Finding:
    return Finding(verdict=ScreenVerdict.REFUSED, rule=rule)


def _tame(rule: str) -> Finding:
    return Finding(verdict=ScreenVerdict.SAFE_ONLY, rule=rule)
