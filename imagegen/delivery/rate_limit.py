"""The pauses that Telegram demands by an answer 429.

Nothing is sent to a chat, or to all chats, while Telegram demands a pause. telegram_refusals.py makes
a FloodWait of the answer, and chat_sender.py begins the pause.

The pauses are kept in Redis, so that all workers observe what one of them was told. Each worker
also remembers its own, for the time in which Redis cannot be reached. A pause that a worker has made
or seen in Redis ends by the worker's own clock at the latest, since Redis' clock may be set back.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook.queue import flood_wait_key

_ALL_CHATS = "all"
# If so many private chats are paused at the same time, the bot has reached its own limit, which is
# about 30 messages a second over all chats (core.telegram.org/bots/faq). Groups do not count: each
# has a limit of its own, of 20 messages a minute.
_PAUSED_CHATS_THAT_PAUSE_ALL = 3
# So long after its end a pause is still known, in case it is still in Redis.
_FORGOTTEN_S = 86_400.0


class FloodControl:
    """Knows until when nothing may be sent. `clock` returns seconds, like time.monotonic.

    Raises nothing of its own: while Redis cannot be reached, this worker's own pauses count.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._paused_until: dict[str, float] = {}
        # When the pauses end that are or were in Redis, by their values, which are unique.
        self._seen_until: dict[str, float] = {}

    async def wait_s(self, chat_id: int) -> float:
        """Return for how many seconds nothing may be sent to a chat; 0 if it may be sent now."""
        now = self._clock()
        self._paused_until = {
            name: until for name, until in self._paused_until.items() if until > now
        }
        names = (str(chat_id), _ALL_CHATS)
        own_wait_s = max(self._paused_until.get(name, now) for name in names) - now
        try:
            return max(own_wait_s, await self._shared_wait_s(*names))
        except (RedisError, OSError):
            return own_wait_s

    async def pause(self, chat_id: int, seconds: float) -> None:
        """Pause a chat for so many seconds, for all workers; a longer pause stays as it is.

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
        now = self._clock()
        until = max(self._paused_until.get(name, 0.0), now + seconds)
        self._paused_until[name] = until
        with suppress(RedisError, OSError):
            if await self._shared_wait_s(name) >= until - now:
                return
            milliseconds = max(1, int((until - now) * 1000))
            value = f"{milliseconds}:{uuid4().hex}"
            self._seen_until[value] = until
            await self._redis.set(flood_wait_key(name), value, px=milliseconds)

    async def _shared_wait_s(self, *names: str) -> float:
        keys = [flood_wait_key(name) for name in names]
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pttl(key)
            remaining_ms: list[int] = await pipe.execute()
        if max(remaining_ms) <= 0:
            return 0.0
        values = await self._redis.mget(keys)
        pauses = zip(values, remaining_ms, strict=True)
        return max(self._left_s(value, left_ms / 1000) for value, left_ms in pauses)

    def _left_s(self, value: bytes | str | None, remaining_s: float) -> float:
        """Return how long a pause in Redis lasts: not longer than it was, nor than this worker saw."""
        if value is None:
            return 0.0
        pause = value.decode() if isinstance(value, bytes) else value
        length_ms, colon, _ = pause.partition(":")
        if not colon:  # written by an older version
            return remaining_s
        now = self._clock()
        self._seen_until = {
            each: until for each, until in self._seen_until.items() if until > now - _FORGOTTEN_S
        }
        until = self._seen_until.setdefault(pause, now + min(remaining_s, int(length_ms) / 1000))
        return max(0.0, min(remaining_s, until - now))


def _is_private_chat(name: str) -> bool:
    # The ids of groups and channels are negative.
    return name != _ALL_CHATS and not name.startswith("-")
