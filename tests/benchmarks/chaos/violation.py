"""A violation: something that must not happen, and in which requests."""

from dataclasses import dataclass
from enum import StrEnum


class ViolationKind(StrEnum):
    """The kinds, each with one line of the table."""

    LOST = "lost"
    SENT_TWICE = "delivered twice without an unknown send"
    DRAWN_TWICE = "drawn twice for no reason"
    CONTRADICTED = "ended otherwise than the chat shows"
    WATERMARK = "watermarks wrong"
    SPACING = "spacing violations"
    OUR_FAULT = "faults of ours"
    NOT_RECOVERED = "no picture after all faults"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """`requests` are the ids that it concerns, `why` is a sentence."""

    kind: ViolationKind
    why: str
    requests: tuple[str, ...] = ()
