"""Live progress of requests in Redis, for those who wait for a picture; the row stays the truth."""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook import queue
from imagegen import periodic

_PUBLISH_EVERY_S = 0.3
# Not while the prompt is brought to its host, which comes first.
_FIRST_AFTER_S = 0.1
_KEPT_S = 60
# A request that waits says why at each try; it may be late by so much.
_LATE_S = 10


def waiting_key(request_id: UUID) -> str:
    """Return the name of the Redis key that says why a request waits."""
    return f"imagegen:waiting:{request_id}"


class LiveProgress:
    """Publishes progress and ends of requests.

    Errors of Redis are dropped: then nobody sees progress, and the request goes on.
    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @asynccontextmanager
    async def drawing(self, request_id: UUID, host: str) -> AsyncIterator[Callable[[float], None]]:
        """Publish the progress of a drawing while the block runs.

        Yields a function to call with the share that is done, from 0 to 1. It only stores the
        number; what has changed is published every 0.3 s and kept for 60 s.
        """
        current_share, published_share = 0.0, -1.0

        def set_share(share: float) -> None:
            nonlocal current_share
            current_share = share

        async def publish() -> None:
            nonlocal published_share
            if current_share != published_share:
                published_share = current_share
                await self._set(request_id, {"host": host, "share": round(current_share, 3)})

        async with periodic.every(
            _PUBLISH_EVERY_S,
            publish,
            name=f"progress of {request_id}",
            delay_s=_FIRST_AFTER_S,
        ):
            yield set_share

    async def waits(self, request_id: UUID, *, code: str, why: str, for_s: float) -> None:
        """Publish why a request is put back into the queue for so many seconds."""
        reason = json.dumps({"code": code, "why": why})
        with suppress(RedisError):
            await self.redis.set(waiting_key(request_id), reason, ex=math.ceil(for_s) + _LATE_S)

    async def ended(self, request_id: UUID) -> None:
        """Erase the progress, and tell all who wait for the request that it has ended."""
        with suppress(RedisError):
            async with self.redis.pipeline(transaction=False) as pipe:
                pipe.delete(queue.progress_key(request_id))
                pipe.publish(queue.ended_channel(request_id), "ended")
                await pipe.execute()

    async def _set(self, request_id: UUID, progress: dict[str, object]) -> None:
        with suppress(RedisError):
            await self.redis.set(queue.progress_key(request_id), json.dumps(progress), ex=_KEPT_S)
