"""What a request is doing right now, in Redis, for whoever looks; the row stays the truth."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook import queue
from imagegen import periodic

_TELL_EVERY_S = 0.3
_KEPT_S = 60


class LiveProgress:
    """Tells progress and ends; a Redis that is away costs nothing but the news."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @asynccontextmanager
    async def drawing(self, request_id: UUID, host: str) -> AsyncIterator[Callable[[float], None]]:
        """Tell how far a drawing is while the block runs, from the share (0 to 1) it is given."""
        now, told = 0.0, -1.0

        def note(share: float) -> None:
            nonlocal now
            now = share

        async def tell() -> None:
            nonlocal told
            if now != told:
                told = now
                await self._set(request_id, {"host": host, "share": round(now, 3)})

        async with periodic.every(_TELL_EVERY_S, tell, name=f"progress of {request_id}"):
            yield note

    async def ended(self, request_id: UUID) -> None:
        """Tell those who wait that the request has ended."""
        with suppress(RedisError):
            async with self.redis.pipeline(transaction=False) as pipe:
                pipe.delete(queue.progress_key(request_id))
                pipe.publish(queue.ended_channel(request_id), "ended")
                await pipe.execute()

    async def _set(self, request_id: UUID, facts: dict[str, object]) -> None:
        with suppress(RedisError):
            await self.redis.set(queue.progress_key(request_id), json.dumps(facts), ex=_KEPT_S)
