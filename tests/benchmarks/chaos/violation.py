"""An offence: something that must not be, and whose."""

from dataclasses import dataclass
from enum import StrEnum


class Crime(StrEnum):
    """The kinds, each with one line of the table."""

    LOST = "lost"
    SENT_TWICE = "delivered twice without an unknown send"
    DRAWN_TWICE = "drawn twice for no reason"
    BELIED = "ended otherwise than the chat shows"
    WATERMARK = "watermarks wrong"
    SPACING = "spacing violations"
    OUR_FAULT = "faults of ours"


@dataclass(frozen=True, kw_only=True)
class Offence:
    """`requests` are the ids that it is about, `why` is a sentence."""

    crime: Crime
    why: str
    requests: tuple[str, ...] = ()
