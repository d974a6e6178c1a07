"""How long a prompt may take before somebody is at fault; pure."""

from collections.abc import Callable
from dataclasses import dataclass

from imagegen.comfy.errors import DrawingTooSlow, HostLost


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long is too long, in seconds.

    `request` for one HTTP call, `queue` from the POST to the prompt's start, `drawing` from
    there to its end, `silence` for no sign of life while it is drawn. After `look` without a
    frame the host is asked; one that is out of reach meanwhile is waited for up to `away`.
    """

    request: float
    queue: float
    drawing: float
    silence: float
    look: float = 10.0
    away: float = 10.0


class Patience:
    """Says when waiting for the next frame ends, and what it means when none came."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._queue_ends_at = clock() + limits.queue
        self._drawing_ends_at: float | None = None
        self._silence_ends_at = self._queue_ends_at

    @property
    def ends_at(self) -> float:
        """The moment, on the clock given, at which waiting ends."""
        if self._drawing_ends_at is None:
            return self._queue_ends_at
        return min(self._drawing_ends_at, self._silence_ends_at)

    def start_drawing(self) -> None:
        """Note that the host has begun with the prompt."""
        self._drawing_ends_at = self._clock() + self._limits.drawing

    def renew(self) -> None:
        """Note that the host has said something about the prompt."""
        self._silence_ends_at = self._clock() + self._limits.silence

    def error(self, host: str) -> HostLost | DrawingTooSlow:
        """Return what it means that the wait has ended."""
        if self._drawing_ends_at is None:
            return HostLost(f"{host} did not begin within {self._limits.queue:g} s")
        if self._drawing_ends_at <= self._silence_ends_at:
            return DrawingTooSlow(f"{host} drew for more than {self._limits.drawing:g} s")
        return HostLost(f"{host} was silent for {self._limits.silence:g} s while it drew")
