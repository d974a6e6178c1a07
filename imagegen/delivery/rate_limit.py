"""Telegram's flood limit; telegram.py turns an answer 429 into the FloodWait that starts a pause.

Nothing is sent to a chat, or to all chats, while Telegram demands a pause.

The pauses are kept in Redis, so that all workers observe what one of them was told. Each worker
also remembers its own, for the time in which Redis cannot be reached.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook.queue import flood_wait_key

_ALL_CHATS = "all"
# If so many private chats are paused at the same time, the bot has reached its own limit, which is
# about 30 messages a second over all chats (core.telegram.org/bots/faq). Groups do not count: each
# has a limit of its own, of 20 messages a minute.
_PAUSED_CHATS_THAT_PAUSE_ALL = 3


class FloodControl:
    """Knows until when nothing may be sent. `clock` returns seconds, like time.monotonic.

    Raises nothing of its own: while Redis cannot be reached, this worker's own pauses count.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._paused_until: dict[str, float] = {}

    async def wait_s(self, chat_id: int) -> float:
        """Return for how many seconds nothing may be sent to a chat; 0 if it may be sent now."""
        now = self._clock()
        self._paused_until = {
            name: until for name, until in self._paused_until.items() if until > now
        }
        names = (str(chat_id), _ALL_CHATS)
        own_wait_s = max(self._paused_until.get(name, now) for name in names) - now
        return max(own_wait_s, await self._shared_wait_s(chat_id))

    async def pause(self, chat_id: int, seconds: float) -> None:
        """Pause a chat for so many seconds, for all workers.

        Pauses all chats if several private chats are paused.
        """
        await self._pause(str(chat_id), seconds)
        now = self._clock()
        waits_s = [
            until - now
            for name, until in self._paused_until.items()
            if _is_private_chat(name) and until > now
        ]
        if len(waits_s) >= _PAUSED_CHATS_THAT_PAUSE_ALL:
            await self._pause(_ALL_CHATS, min(waits_s))

    async def _pause(self, name: str, seconds: float) -> None:
        if seconds <= 0:
            return
        self._paused_until[name] = max(self._paused_until.get(name, 0.0), self._clock() + seconds)
        with suppress(RedisError, OSError):
            await self._redis.set(flood_wait_key(name), "1", px=max(1, int(seconds * 1000)))

    async def _shared_wait_s(self, chat_id: int) -> float:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in (str(chat_id), _ALL_CHATS):
                    pipe.pttl(flood_wait_key(name))
                remaining_ms: list[int] = await pipe.execute()
        except (RedisError, OSError):
            return 0.0
        return max(0, *remaining_ms) / 1000


def _is_private_chat(name: str) -> bool:
    # The ids of groups and channels are negative.
    return name != _ALL_CHATS and not name.startswith("-")
