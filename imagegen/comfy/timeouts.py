"""How long a prompt may take in each phase, and when to ask the host about it; pure."""

from collections.abc import Callable
from dataclasses import dataclass

from imagegen.comfy.errors import DrawingStalled, DrawingTooSlow, HostBusy, LoadingTooSlow
from imagegen.errors import Unavailable

# A websocket that was opened again may be open and silent for ever. Until its first event, the
# host is asked this often.
_CHECK_AFTER_RECONNECT_S = 1.0
# After a hint that the prompt may have ended: frames that are on their way get this much time.
_CHECK_AFTER_HINT_S = 0.2


@dataclass(frozen=True, kw_only=True)
class PromptTimeouts:
    """How long each phase of a prompt may take, in seconds.

    - `request_s`: one HTTP call.
    - `queue_s`: from the POST until the prompt starts, or until its place is thought over again.
    - `loading_s`: from its start to the first step of a sampler, if the models have to be loaded.
    - `drawing_s`: from there, or from its start if the models are loaded, to its end.
    - `silence_s`: without a sign of progress while it is drawn; a host that loads gives no sign.
    - `check_after_s`: without an event of the prompt before the host is asked over HTTP.
    - `unreachable_s`: how long an unreachable host is waited for: when it is asked, and until it has
      opened a websocket.
    - `cancel_s`: until a prompt is off the host that was cancelled there. A host that loads models
      obeys only afterwards, and an old one not inside the last node; the prompt is then a stray.
    """

    request_s: float
    queue_s: float
    drawing_s: float
    silence_s: float
    loading_s: float = 300.0
    check_after_s: float = 10.0
    unreachable_s: float = 10.0
    cancel_s: float = 10.0


class PromptDeadlines:
    """The deadlines of one prompt: when to ask the host over HTTP, and when to give up.

    All times are seconds on `clock`.
    """

    def __init__(self, limits: PromptTimeouts, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._queue_ends_at = clock() + limits.queue_s
        self._loading_ends_at: float | None = None
        self._drawing_ends_at: float | None = None
        self._moved_at = clock()
        self._check_at = clock() + limits.check_after_s
        self._check_every_s = limits.check_after_s
        self._opened_at = clock()

    @property
    def has_begun(self) -> bool:
        """Whether the host has begun to draw the prompt, as far as is known."""
        return self._loading_ends_at is not None or self._drawing_ends_at is not None

    @property
    def wakes_at(self) -> float:
        """The time at which to stop waiting for events and ask the host."""
        return min(self._check_at, self._ends_at)

    @property
    def is_due(self) -> bool:
        """Whether the host must be asked now, even if there are events to read."""
        return self._clock() >= self.wakes_at

    @property
    def needs_reconnect(self) -> bool:
        """Whether the prompt runs and this websocket was silent so long that a new one is needed."""
        if not self.has_begun:
            return False
        return self._clock() - max(self._moved_at, self._opened_at) >= self._limits.check_after_s

    def begun(self, *, is_warm: bool) -> None:
        """Note that the host has begun the prompt; only the first call counts.

        `is_warm`: its models are known to be loaded, so it is drawn from the first moment on.
        """
        if self.has_begun:
            return
        self._moved_at = self._clock()
        if is_warm:
            self._drawing_ends_at = self._clock() + self._limits.drawing_s
        else:
            self._loading_ends_at = self._clock() + self._limits.loading_s

    def sampling_started(self) -> None:
        """Note that a sampler has made a step, so the models are loaded; only the first call counts."""
        if self._drawing_ends_at is None:
            self._moved_at = self._clock()
            self._drawing_ends_at = self._clock() + self._limits.drawing_s

    def keeps_place(self) -> None:
        """Note that the prompt goes on waiting in the host's queue, for as long again."""
        self._queue_ends_at = self._clock() + self._limits.queue_s

    def event_received(self) -> None:
        """Note an event of this prompt: the websocket works and the prompt makes progress."""
        self._moved_at = self._clock()
        self._check_every_s = self._limits.check_after_s
        self._check_at = self._clock() + self._check_every_s

    def progress_made(self) -> None:
        """Note that the prompt makes progress, by a sign that does not prove that events arrive."""
        self._moved_at = self._clock()

    def reconnected(self) -> None:
        """Note a new websocket; the prompt may have ended while there was none."""
        self._opened_at = self._clock()
        self._check_every_s = min(_CHECK_AFTER_RECONNECT_S, self._limits.check_after_s)
        self._check_at = self._clock() + self._check_every_s

    def end_suspected(self) -> None:
        """Note a sign that the prompt may have ended without an event."""
        self._check_at = min(self._check_at, self._clock() + _CHECK_AFTER_HINT_S)

    def status_checked(self) -> None:
        """Note that the host has been asked."""
        self._check_at = self._clock() + self._check_every_s

    def timeout_error(self, host: str) -> Unavailable | None:
        """Return the error if a deadline has passed, for a prompt that is still on the host.

        HostBusy, LoadingTooSlow, DrawingTooSlow or DrawingStalled; None if no deadline has passed.
        """
        now = self._clock()
        if not self.has_begun:
            if now < self._queue_ends_at:
                return None
            return HostBusy(f"{host} did not begin within {self._limits.queue_s:g} s")
        if now < self._ends_at:
            return None
        if self._drawing_ends_at is None:
            return LoadingTooSlow(
                f"{host} loaded models for more than {self._limits.loading_s:g} s"
            )
        if now >= self._drawing_ends_at:
            return DrawingTooSlow(f"{host} drew for more than {self._limits.drawing_s:g} s")
        return DrawingStalled(f"nothing moved on {host} for {self._limits.silence_s:g} s")

    @property
    def _ends_at(self) -> float:
        if self._drawing_ends_at is not None:
            return min(self._drawing_ends_at, self._moved_at + self._limits.silence_s)
        if self._loading_ends_at is not None:
            return self._loading_ends_at
        return self._queue_ends_at
