"""Redis as the hook uses it: enqueues a job of arq, and waits for the end of a request."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from chatflow_hook.settings import RedisPlace

QUEUE = "arq:queue"
JOB = "make_image"


def dumps(value: dict[str, Any]) -> bytes:
    """Serialise an arq job as JSON: with pickle, who writes to Redis runs code in the worker."""
    return json.dumps(value, default=str).encode()


def loads(packed: bytes) -> dict[str, Any]:
    """Read what `dumps` wrote."""
    job: dict[str, Any] = json.loads(packed)
    return job


def ended_channel(request_id: UUID) -> str:
    """Name the channel on which the end of a request is told."""
    return f"imagegen:ended:{request_id}"


def progress_key(request_id: UUID) -> str:
    """Name the key that says what a request is doing right now."""
    return f"imagegen:live:{request_id}"


log = structlog.get_logger(__name__)

# A Redis that is down or frozen must not hold up an answer in the chat.
_PATIENCE_S = 0.4
_SUBSCRIBE_WITHIN_S = 0.8
_HUSH_WITHIN_S = 2.0


class QueueClient:
    """Connections to the two Redis databases, made at first use."""

    def __init__(self, redis: RedisPlace, *, broker_db: int, result_db: int) -> None:
        hurry = {"socket_timeout": _PATIENCE_S, "socket_connect_timeout": _PATIENCE_S}
        self._queue = ArqRedis(
            redis.pool(broker_db, **hurry),
            job_serializer=dumps,
            job_deserializer=loads,
            default_queue_name=QUEUE,
        )
        # No socket timeout: `wait` listens for as long as its caller likes.
        self._results: Redis = Redis.from_pool(
            redis.pool(result_db, socket_connect_timeout=_PATIENCE_S)
        )

    async def ring(self, request_id: UUID, *, within_s: float) -> bool:
        """Tell the worker of a request, if Redis takes it in time; if not, the relay will.

        Return whether it did.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._queue.enqueue_job(JOB, str(request_id), _job_id=str(request_id))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("doorbell unheard", request_id=str(request_id), error=type(error).__name__)
            return False
        return True

    async def hush(self, request_ids: Sequence[UUID]) -> None:
        """Erase what is told of requests that have ended, and wake those who wait for them."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_HUSH_WITHIN_S), self._results.pipeline(False) as pipe:
                for request_id in request_ids:
                    pipe.delete(progress_key(request_id))
                    pipe.publish(ended_channel(request_id), "ended")
                await pipe.execute()

    @asynccontextmanager
    async def listening(self, request_id: UUID) -> AsyncIterator["EndListener"]:
        """Hear the end of a request, from before the first look at its row."""
        async with self._results.pubsub() as channel:
            ear = EndListener(channel, ended_channel(request_id))
            await ear.open()
            yield ear

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        await self._queue.aclose(close_connection_pool=True)
        await self._results.aclose()


class EndListener:
    """Waits for one word on one channel; deaf while Redis is away."""

    def __init__(self, channel: PubSub, name: str) -> None:
        self._channel = channel
        self._name = name

    async def open(self) -> None:
        """Subscribe, if Redis is there."""
        try:
            async with asyncio.timeout(_SUBSCRIBE_WITHIN_S):
                await self._channel.subscribe(self._name)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no word from redis", channel=self._name, error=type(error).__name__)

    async def wait(self, seconds: float) -> None:
        """Return at the word, or after `seconds`: the row says what it was."""
        if not self._channel.subscribed:
            await asyncio.sleep(seconds)
            return
        try:
            await self._channel.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except (RedisError, OSError):
            await asyncio.sleep(seconds)
