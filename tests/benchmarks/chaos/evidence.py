"""What is known after a run, seen from outside of our code; times are Unix seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imagegen.sandbox.comfyui.usage import DoubleDrawing


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of image_requests; `caption` identifies its message in the chat."""

    id: UUID
    dialog_id: int
    message_count: int
    caption: str
    state: str
    error_code: str | None
    error_sentence: str | None
    attempts: int
    draw: int
    host: str | None
    telegram_message_id: int | None
    created: float
    finished: float | None


@dataclass(frozen=True, kw_only=True)
class Send:
    """A row of deliveries."""

    request_id: UUID
    attempt: int
    outcome: str
    started: float
    finished: float | None = None


@dataclass(frozen=True, kw_only=True)
class ChaosArrival:
    """A picture in a chat, from Telegram's own record."""

    caption: str
    message_id: int
    when: float


@dataclass(frozen=True, kw_only=True)
class DialogRow:
    """A row of dialogs."""

    dialog_id: int
    message_count: int
    watermark: int | None


@dataclass(frozen=True, kw_only=True)
class InjectedFault:
    """A fault that was injected, and when it was healed; `is_total`: no picture can come meanwhile."""

    kind: str
    what: str
    began: float
    ended: float
    is_total: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerFault:
    """A fault of our code from a worker's log, or a worker that ended by itself."""

    worker: str
    what: str
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the verdict is made from.

    `committed` are the requests that a bot knows to be committed, with their captions. `doubles`
    are drawings that ended with a picture although an earlier one had. `last_requests` has for each dialog the
    request of its last messages, which were written when nothing was broken any more; None if no
    picture became due.
    """

    committed: Mapping[UUID, str]
    rows: Sequence[Row]
    sends: Sequence[Send]
    arrivals: Sequence[ChaosArrival]
    dialogs: Sequence[DialogRow]
    doubles: Sequence[DoubleDrawing]
    injected: Sequence[InjectedFault]
    worker_faults: Sequence[WorkerFault]
    last_requests: Mapping[int, UUID | None]
