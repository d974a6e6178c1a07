"""The gate in front of Telegram: shut for a chat or for all while Telegram asks us to wait.

Marks lie in Redis, so that all workers keep to what one of them was told; each worker keeps its
own beside them, for the time in which Redis is away.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

_PREFIX = "imagegen:telegram:shut:"
_ALL = "all"
# Floods in so many chats at a time are a flood of the bot: its own limit is 30 messages a second.
_CHATS_OF_A_FLOOD = 3


class FloodControl:
    """Knows until when nothing may be sent. The clock is of seconds, as time.monotonic."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._until: dict[str, float] = {}

    async def wait_s(self, chat_id: int) -> float:
        """Return how long nothing may be sent to a chat: 0 if the gate is open."""
        now = self._clock()
        self._until = {name: until for name, until in self._until.items() if until > now}
        own = max((self._until.get(name, now) for name in (str(chat_id), _ALL)), default=now) - now
        return max(own, await self._told_s(chat_id))

    async def hold(self, chat_id: int, seconds: float) -> None:
        """Keep everybody from sending to a chat; to all of them where several are flooded."""
        await self._mark(str(chat_id), seconds)
        flooded = [until for name, until in self._until.items() if name != _ALL]
        if len(flooded) >= _CHATS_OF_A_FLOOD:
            await self._mark(_ALL, min(flooded) - self._clock())

    async def _mark(self, name: str, seconds: float) -> None:
        if seconds <= 0:
            return
        self._until[name] = max(self._until.get(name, 0.0), self._clock() + seconds)
        with suppress(RedisError, OSError):
            await self._redis.set(_PREFIX + name, "1", px=max(1, int(seconds * 1000)))

    async def _told_s(self, chat_id: int) -> float:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in (str(chat_id), _ALL):
                    pipe.pttl(_PREFIX + name)
                left: list[int] = await pipe.execute()
        except (RedisError, OSError):
            return 0.0
        return max(0, *left) / 1000
