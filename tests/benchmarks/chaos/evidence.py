"""What a run leaves behind, as seen from the outside; times are Unix seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imagegen.sandbox.comfyui.usage import DoubleDrawing


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of image_requests; `caption` is what its message can be known by in the chat."""

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


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A picture in a chat, from Telegram's own record."""

    caption: str
    message_id: int
    when: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the database says of a dialog."""

    dialog_id: int
    message_count: int
    watermark: int | None


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A blow as it fell, and when it was healed; `is_total`: no picture came while it lasted."""

    what: str
    began: float
    ended: float
    is_total: bool = False


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """A fault of ours as a worker's log tells it, or a worker that ended by itself."""

    worker: str
    what: str
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All of it.

    `promised` are the requests of which a bot knows that they are committed. `doubles` are the
    drawings that ended with a picture although an earlier one had; `excused` names the requests
    that a fault of a host made us draw again.
    """

    promised: Mapping[UUID, str]
    rows: Sequence[Row]
    sends: Sequence[Send]
    arrivals: Sequence[Arrival]
    marks: Sequence[Mark]
    doubles: Sequence[DoubleDrawing]
    excused: frozenset[str]
    struck: Sequence[Struck]
    complaints: Sequence[Complaint]
