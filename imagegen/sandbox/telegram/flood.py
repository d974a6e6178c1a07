"""Telegram's limits on how often a bot may send and edit."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from imagegen.sandbox.telegram import errors

# Methods that count; the others have no limit that a bot meets in practice.
_COUNTED = ("send", "edit", "copy")
_FREE = frozenset({"sendchataction", "sendmessagedraft"})


@dataclass(frozen=True, kw_only=True)
class FloodLimits:
    """How many calls Telegram takes; a chat may have `chat_burst` within a second now and then."""

    chat_per_minute: int = 60
    chat_burst: int = 3
    group_per_minute: int = 20
    bot_per_second: int = 30


class CallLimiter:
    """Counts calls, and refuses those above the limits with 429 and `retry_after`."""

    def __init__(self, limits: FloodLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._times: defaultdict[tuple[int, float], deque[float]] = defaultdict(deque)

    def check(self, method: str, chat_id: int | None) -> None:
        """Count a call.

        Raises:
            ApiError: it comes too early; a refused call is not counted.
        """
        name = method.lower()
        if chat_id is None or name in _FREE or not name.startswith(_COUNTED):
            return
        windows = self._windows(chat_id)
        now = self._clock()
        wait_s = max(self._wait_s(key, limit, now) for key, limit in windows.items())
        if wait_s > 0:
            raise errors.flood(math.ceil(wait_s))
        for key in windows:
            self._times[key].append(now)

    def _windows(self, chat_id: int) -> dict[tuple[int, float], int]:
        """Return the limits of a chat by their chat (0: all chats) and length in seconds."""
        limits = self._limits
        in_minute = limits.group_per_minute if chat_id < 0 else limits.chat_per_minute
        return {
            (0, 1.0): limits.bot_per_second,
            (chat_id, 1.0): limits.chat_burst,
            (chat_id, 60.0): in_minute,
        }

    def _wait_s(self, key: tuple[int, float], limit: int, now: float) -> float:
        times, length_s = self._times[key], key[1]
        while times and times[0] <= now - length_s:
            times.popleft()
        return times[-limit] + length_s - now if len(times) >= limit else 0.0
