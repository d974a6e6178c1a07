"""Telegram's limits for what a bot sends, counted by this worker so that it stays below them.

About one message a second to a chat, with short bursts, 20 a minute to a group, and 30 a second to
all chats (core.telegram.org/bots/faq). Edits count as messages do.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_ALL_CHATS = 0
# So many chats are remembered before those that have been silent are dropped.
_MAX_CHATS = 1000


@dataclass(frozen=True, kw_only=True)
class Window:
    """At most `most` messages within `seconds`."""

    most: int
    seconds: float

    def cut_to(self, share: float) -> "Window":
        """Return the window with a share of its messages, one at least."""
        return Window(most=max(1, int(self.most * share)), seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class SendLimits:
    """How much a bot may send: to one private chat, to one group, and to all chats."""

    chat: Window = Window(most=3, seconds=3.0)
    group: Window = Window(most=20, seconds=60.0)
    bot: Window = Window(most=30, seconds=1.0)


class Pacing:
    """Counts what was sent. `clock` returns seconds, like time.monotonic."""

    def __init__(
        self, limits: SendLimits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or SendLimits()
        self._clock = clock
        self._sent: dict[int, deque[float]] = {}

    @property
    def remembered(self) -> int:
        """How many chats are remembered."""
        return len(self._sent)

    def wait_s(self, chat_id: int, *, share: float = 1.0) -> float:
        """Return after how many seconds a message fits into a share of the limits; 0 for now."""
        now = self._clock()
        return max(
            self._wait_s(key, window.cut_to(share), now)
            for key, window in self._windows(chat_id).items()
        )

    def count(self, chat_id: int) -> None:
        """Count a message or an edit that is sent now, or as soon as it is written down."""
        now = self._clock()
        if len(self._sent) > _MAX_CHATS:
            self._forget_silent_chats(now)
        for key, window in self._windows(chat_id).items():
            times = self._sent.setdefault(key, deque())
            while times and times[0] <= now - window.seconds:
                times.popleft()
            times.append(now)

    def _windows(self, chat_id: int) -> dict[int, Window]:
        # The ids of groups and channels are negative.
        own = self._limits.group if chat_id < 0 else self._limits.chat
        return {_ALL_CHATS: self._limits.bot, chat_id: own}

    def _wait_s(self, key: int, window: Window, now: float) -> float:
        times = self._sent.get(key, ())
        if len(times) < window.most:
            return 0.0
        return max(0.0, times[-window.most] + window.seconds - now)

    def _forget_silent_chats(self, now: float) -> None:
        longest_s = max(self._limits.chat.seconds, self._limits.group.seconds)
        self._sent = {
            key: times for key, times in self._sent.items() if times and times[-1] > now - longest_s
        }
