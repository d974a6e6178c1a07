"""The kinds of fault: what each does, and which parameters it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong; MEANINGS describes each."""

    DROP = "drop"
    DEAF = "deaf"
    HUGE_FRAME = "huge-frame"
    ANSWER_LOST = "answer-lost"
    POSTED_TWICE = "posted-twice"
    REFUSED_MODEL = "refused-model"
    DELETED = "deleted"
    CACHED = "cached"
    OUT_OF_MEMORY = "out-of-memory"
    BAD_GPU = "bad-gpu"
    STALL = "stall"
    FOREIGN_INTERRUPT = "foreign-interrupt"
    LOST_INTERRUPT = "lost-interrupt"
    LATE_HISTORY = "late-history"
    SLOW_VIEW = "slow-view"
    BROKEN_VIEW = "broken-view"
    FILE_GONE = "file-gone"
    TRICKLE = "trickle"
    WRONG_TYPE = "wrong-type"
    HUGE_JSON = "huge-json"
    UNAVAILABLE = "unavailable"
    RESTART = "restart"
    FREEZE = "freeze"


@dataclass(frozen=True, kw_only=True)
class FaultHelp:
    """The help of a kind: its line, its own parameters, and the usual duration in seconds.

    `takes` leaves out times, after and chance, which every kind takes.
    """

    line: str
    takes: frozenset[str] = frozenset()
    seconds: float | None = None


def _meaning(line: str, *takes: str, seconds: float | None = None) -> FaultHelp:
    return FaultHelp(line=line, takes=frozenset(takes), seconds=seconds)


MEANINGS: Mapping[FaultKind, FaultHelp] = {
    FaultKind.DROP: _meaning(
        "The websocket breaks when an event is to be sent: before it, or after it (sent=yes).",
        *("at", "sent"),
    ),
    FaultKind.DEAF: _meaning(
        "A socket stays open and hears nothing more: a reconnected one (at=reconnect, the default),"
        " any new one (at=connect), or one at an event.",
        "at",
    ),
    FaultKind.HUGE_FRAME: _meaning(
        "A frame of 33 MiB (size=BYTES) comes before an event; how=text or how=binary.",
        *("at", "how", "size"),
    ),
    FaultKind.ANSWER_LOST: _meaning(
        "A request (route=…, else POST /prompt) is taken in, and the connection cut, no answer.",
        "route",
    ),
    FaultKind.POSTED_TWICE: _meaning("POST /prompt is taken twice, as a proxy that repeats would."),
    FaultKind.REFUSED_MODEL: _meaning(
        "POST /prompt: 400, no such model (file=NAME or the first), though object_info has it.",
        "file",
    ),
    FaultKind.DELETED: _meaning("A prompt is deleted by somebody else as soon as it is queued."),
    FaultKind.CACHED: _meaning(
        "A prompt ends as fully cached; file=NAME lets it name that old file.", "file"
    ),
    FaultKind.OUT_OF_MEMORY: _meaning(
        "A node (node=CLASS, the first that computes by default) runs out of GPU memory.", "node"
    ),
    FaultKind.BAD_GPU: _meaning(
        "A prompt fails with a CUDA error; times=ever for a GPU that fails them all.", "node"
    ),
    FaultKind.STALL: _meaning(
        "The sampler stops half-way until it is interrupted, or for some seconds; HTTP is fine.",
        "seconds",
    ),
    FaultKind.FOREIGN_INTERRUPT: _meaning(
        "Somebody's bare interrupt hits the running prompt at an event.", "at"
    ),
    FaultKind.LOST_INTERRUPT: _meaning(
        "An interrupt or a cancel of the running prompt is answered, and does nothing."
    ),
    FaultKind.LATE_HISTORY: _meaning(
        "The history entry comes some seconds after execution_success.", "seconds", seconds=1.0
    ),
    FaultKind.SLOW_VIEW: _meaning("GET /view takes some seconds more.", "seconds", seconds=5.0),
    FaultKind.BROKEN_VIEW: _meaning(
        "GET /view is cut short (how=cut), no picture (how=garbage), or a page (how=page).", "how"
    ),
    FaultKind.FILE_GONE: _meaning("A file is deleted just before GET /view asks for it: 404."),
    FaultKind.TRICKLE: _meaning(
        "An answer (route=…) comes byte by byte, with some seconds between.",
        *("route", "seconds"),
        seconds=0.05,
    ),
    FaultKind.WRONG_TYPE: _meaning("An answer (route=…) is a web page with status 200.", "route"),
    FaultKind.HUGE_JSON: _meaning(
        "An answer (route=…) is JSON of 33 MiB (size=BYTES).", "route", "size"
    ),
    FaultKind.UNAVAILABLE: _meaning(
        "A proxy answers 503 to requests (route=…), handshakes too: so often, or for some seconds.",
        *("route", "seconds"),
    ),
    FaultKind.RESTART: _meaning(
        "The host dies, at an event or every=SECONDS or so, and is back empty after some seconds.",
        *("at", "sent", "every", "seconds"),
        seconds=1.0,
    ),
    FaultKind.FREEZE: _meaning(
        "The process stands still, at an event or every=SECONDS or so, for some seconds or until"
        " thawed: connections open, nothing answers.",
        *("at", "sent", "every", "seconds"),
    ),
}
