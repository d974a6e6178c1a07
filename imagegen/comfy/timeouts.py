"""How long a prompt may take before somebody is at fault; pure."""

from collections.abc import Callable
from dataclasses import dataclass

from imagegen.comfy.errors import DrawingStalled, DrawingTooSlow, HostBusy
from imagegen.errors import Unavailable

# After a reconnect a socket may be open and deaf: until it is heard, looks come this often.
_UNHEARD_S = 1.0
# A hint that the prompt may have ended unheard; frames under way get the time to come.
_HINT_S = 0.2


@dataclass(frozen=True, kw_only=True)
class PromptTimeouts:
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


class PromptDeadlines:
    """Says when to look at the host instead of listening, and when enough is enough."""

    def __init__(self, limits: PromptTimeouts, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._queue_ends_at = clock() + limits.queue
        self._drawing_ends_at: float | None = None
        self._moved_at = clock()
        self._look_at = clock() + limits.look
        self._look_every = limits.look
        self._opened_at = clock()

    @property
    def wakes_at(self) -> float:
        """The moment, on the clock given, at which to stop listening and look."""
        return min(self._look_at, self._ends_at)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look, however much the socket talks."""
        return self._clock() >= self.wakes_at

    @property
    def is_deaf(self) -> bool:
        """Whether the prompt is drawn and this socket so silent that a new one may hear more."""
        if self._drawing_ends_at is None:
            return False
        return self._clock() - max(self._moved_at, self._opened_at) >= self._limits.look

    def drawing_started(self) -> None:
        """Note that the host has begun with the prompt; what is noted first counts."""
        if self._drawing_ends_at is None:
            self._moved_at = self._clock()
            self._drawing_ends_at = self._clock() + self._limits.drawing

    def event_received(self) -> None:
        """Note a frame of the prompt's own: the socket is not deaf and the prompt moves."""
        self._moved_at = self._clock()
        self._look_every = self._limits.look
        self._look_at = self._clock() + self._look_every

    def progress_made(self) -> None:
        """Note that the prompt moves, though that does not prove that the socket hears."""
        self._moved_at = self._clock()

    def reconnected(self) -> None:
        """Note a new socket for a prompt that may be anywhere by now."""
        self._opened_at = self._clock()
        self._look_every = min(_UNHEARD_S, self._limits.look)
        self._look_at = self._clock() + self._look_every

    def end_suspected(self) -> None:
        """Note that the prompt may have ended unheard."""
        self._look_at = min(self._look_at, self._clock() + _HINT_S)

    def status_checked(self) -> None:
        """Note that the host has been asked."""
        self._look_at = self._clock() + self._look_every

    def timeout_error(self, host: str) -> Unavailable | None:
        """Return whose fault it is that the prompt, which was just seen, is not over; if any's."""
        now = self._clock()
        if self._drawing_ends_at is None:
            if now < self._queue_ends_at:
                return None
            return HostBusy(f"{host} did not begin within {self._limits.queue:g} s")
        if now >= self._drawing_ends_at:
            return DrawingTooSlow(f"{host} drew for more than {self._limits.drawing:g} s")
        if now >= self._moved_at + self._limits.silence:
            return DrawingStalled(f"nothing moved on {host} for {self._limits.silence:g} s")
        return None

    @property
    def _ends_at(self) -> float:
        if self._drawing_ends_at is None:
            return self._queue_ends_at
        return min(self._drawing_ends_at, self._moved_at + self._limits.silence)
