"""Redis as the hook uses it: enqueues arq jobs, and waits for the end of a request.

Hook and worker share these names and the JSON form of a job. Redis holds ids only, never what
people wrote.
"""

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

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisPlace

QUEUE = "arq:queue"
JOB = "make_image"


def dumps(value: dict[str, Any]) -> bytes:
    """Serialise an arq job as JSON.

    arq's default is pickle, with which anyone who can write to Redis can run code in the worker.
    """
    return json.dumps(value, default=str).encode()


def loads(packed: bytes) -> dict[str, Any]:
    """Deserialise an arq job that `dumps` serialised."""
    job: dict[str, Any] = json.loads(packed)
    return job


def ended_channel(request_id: UUID) -> str:
    """Return the name of the pub/sub channel on which the end of a request is published."""
    return f"imagegen:ended:{request_id}"


def progress_key(request_id: UUID) -> str:
    """Return the name of the Redis key that holds the live progress of a request."""
    return f"imagegen:live:{request_id}"


log = structlog.get_logger(__name__)

# A Redis that is down or frozen must not delay the bot's answer in the chat.
_SOCKET_TIMEOUT_S = 0.4
_SUBSCRIBE_TIMEOUT_S = 0.8
_PUBLISH_TIMEOUT_S = 2.0


class QueueClient:
    """Connections to the two Redis databases, opened at first use; `close` closes them.

    `outage` says why Redis did not take the last job, None if it did.
    """

    def __init__(self, redis: RedisPlace, *, broker_db: int, result_db: int) -> None:
        self.outage: str | None = None
        self._place = redis
        timeouts = {
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "socket_connect_timeout": _SOCKET_TIMEOUT_S,
        }
        self._jobs = ArqRedis(
            redis.pool(broker_db, **timeouts),
            job_serializer=dumps,
            job_deserializer=loads,
            default_queue_name=QUEUE,
        )
        # No socket timeout: `wait` listens for as long as its caller wants.
        self._results: Redis = Redis.from_pool(
            redis.pool(result_db, socket_connect_timeout=_SOCKET_TIMEOUT_S)
        )

    async def enqueue(self, request_id: UUID, *, within_s: float) -> bool:
        """Enqueue the arq job of a request; return whether Redis took it within `within_s` seconds.

        If it did not, this is logged, and the worker's relay enqueues the job later. May be
        called again for the same request: arq keeps one job of an id.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._jobs.enqueue_job(JOB, str(request_id), _job_id=str(request_id))
        except (RedisError, OSError, TimeoutError) as error:
            self.outage = redis_errors.why(error, self._place.address, user=self._place.user)
            log.warning(
                "doorbell unheard",
                request_id=str(request_id),
                error=type(error).__name__,
                why=self.outage,
            )
            return False
        self.outage = None
        return True

    async def publish_ended(self, request_ids: Sequence[UUID]) -> None:
        """Publish that requests have ended, and delete their live progress.

        Takes at most 2 s, and does nothing if Redis is down: who waits reads the row anyway.
        """
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S), self._results.pipeline(False) as pipe:
                for request_id in request_ids:
                    pipe.delete(progress_key(request_id))
                    pipe.publish(ended_channel(request_id), "ended")
                await pipe.execute()

    @asynccontextmanager
    async def listen_for_end(self, request_id: UUID) -> AsyncIterator["EndListener"]:
        """Open a listener for the end of a request; the block's end closes it.

        Read the row inside the block: an end between the reading and the subscription would
        otherwise be missed.
        """
        async with self._results.pubsub() as pubsub:
            listener = EndListener(pubsub, ended_channel(request_id))
            await listener.subscribe()
            yield listener

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        await self._jobs.aclose(close_connection_pool=True)
        await self._results.aclose()


class EndListener:
    """Waits for a message on one pub/sub channel; gets none while Redis is down."""

    def __init__(self, pubsub: PubSub, channel: str) -> None:
        self._pubsub = pubsub
        self._channel = channel

    async def subscribe(self) -> None:
        """Subscribe to the channel; if Redis does not answer within 0.8 s, this is logged."""
        try:
            async with asyncio.timeout(_SUBSCRIBE_TIMEOUT_S):
                await self._pubsub.subscribe(self._channel)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no word from redis", channel=self._channel, error=type(error).__name__)

    async def wait(self, seconds: float) -> None:
        """Return at a message, and after `seconds` at the latest.

        It does not say which of the two happened: read the row for the state of the request.
        """
        if not self._pubsub.subscribed:
            await asyncio.sleep(seconds)
            return
        try:
            await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except (RedisError, OSError):
            await asyncio.sleep(seconds)
