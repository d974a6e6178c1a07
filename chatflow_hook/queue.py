"""Redis as the hook uses it: enqueues arq jobs, and waits for the end of a request.

Hook and worker share these names and the JSON form of a job. Redis holds ids only, never what
people wrote. The time at which a job is due is that of the Redis server, never of the bot.

A bot brings its own redis-py, any version from 4.6 on: nothing here uses what came later, such as
`Redis.from_pool` and `aclose`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.clock_skew import ClockSkew
from chatflow_hook.settings import RedisPlace

QUEUE = "arq:queue"
JOB = "make_image"
# arq's names and the time for which it keeps a payload.
PAYLOAD_KEY_PREFIX = "arq:job:"
_PAYLOAD_KEPT_MS = 24 * 3600 * 1000


def dumps(value: dict[str, Any]) -> bytes:
    """Serialise an arq job as JSON.

    arq's default is pickle, with which anyone who can write to Redis can run code in the worker.
    """
    return json.dumps(value, default=str).encode()


def loads(packed: bytes) -> dict[str, Any]:
    """Deserialise an arq job that `dumps` serialised."""
    job: dict[str, Any] = json.loads(packed)
    return job


def add_enqueue(pipe: Pipeline, request_id: UUID, *, due_ms: int) -> None:
    """Add to a pipeline the commands that enqueue the job of a request as arq does.

    `due_ms` is on the clock of the Redis server, in milliseconds since the epoch, and above 0: arq
    takes an entry with the score 0 for a job that has ended. What is there of the job already is
    left as it is, so this may be done again at any time.
    """
    job_id = str(request_id)
    job: dict[str, Any] = {"t": None, "f": JOB, "a": [job_id], "k": {}, "et": due_ms}
    pipe.set(PAYLOAD_KEY_PREFIX + job_id, dumps(job), px=_PAYLOAD_KEPT_MS, nx=True)
    pipe.zadd(QUEUE, {job_id: due_ms}, nx=True)


async def server_time_s(redis: Redis) -> float:
    """Return the time of the Redis server in seconds since the epoch.

    Raises:
        RedisError: Redis cannot be reached.
    """
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1e6


def ended_channel(request_id: UUID) -> str:
    """Return the name of the pub/sub channel on which the end of a request is published."""
    return f"imagegen:ended:{request_id}"


def progress_key(request_id: UUID) -> str:
    """Return the name of the Redis key that holds the live progress of a request."""
    return f"imagegen:live:{request_id}"


def flood_wait_key(chat: str) -> str:
    """Return the name of the Redis key that exists while Telegram demands a pause of a chat."""
    return f"imagegen:telegram:shut:{chat}"


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
        self._jobs = Redis(connection_pool=redis.pool(broker_db, **timeouts))
        self._redis_clock = ClockSkew("redis")
        # No socket timeout, which redis-py 8 has by default: `wait` listens for as long as its
        # caller wants.
        listening = {"socket_timeout": None, "socket_connect_timeout": _SOCKET_TIMEOUT_S}
        self._results = Redis(connection_pool=redis.pool(result_db, **listening))

    async def enqueue(self, request_id: UUID, *, within_s: float) -> bool:
        """Enqueue the arq job of a request; return whether Redis took it within `within_s` seconds.

        If it did not, this is logged, and the worker's relay enqueues the job later. May be
        called again for the same request: there is one job of an id.
        """
        try:
            async with asyncio.timeout(within_s):
                now_s = await self._redis_clock.measure(lambda: server_time_s(self._jobs))
                async with self._jobs.pipeline(transaction=True) as pipe:
                    add_enqueue(pipe, request_id, due_ms=int(now_s * 1000))
                    await pipe.execute()
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
        await self._publish_ended(request_ids, also_delete=())

    async def publish_erased(self, user_id: int, request_ids: Sequence[UUID]) -> None:
        """Do the same for the requests of an erased user, and delete the pause of their own chat.

        A private chat has the id of its user.
        """
        await self._publish_ended(request_ids, also_delete=(flood_wait_key(str(user_id)),))

    async def _publish_ended(
        self, request_ids: Sequence[UUID], *, also_delete: Sequence[str]
    ) -> None:
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S), self._results.pipeline(False) as pipe:
                for key in also_delete:
                    pipe.delete(key)
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
        pubsub = self._results.pubsub()
        try:
            listener = EndListener(pubsub, ended_channel(request_id))
            await listener.subscribe()
            yield listener
        finally:
            await _close(partial(_leave, pubsub))

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        for client in (self._jobs, self._results):
            await _close(client.connection_pool.disconnect)


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


async def _leave(pubsub: PubSub) -> None:
    """Close a subscription in the one way that all versions of redis-py have: its `async with`."""
    async with pubsub:
        pass


async def _close(disconnect: Callable[[], Awaitable[None]]) -> None:
    """Close connections with `disconnect`; how it goes is of no interest to its caller any more.

    If the event loop is busy meanwhile, redis-py says that the time was over. The connection is
    closed then, but not yet returned to its pool, which the second call does.
    """
    try:
        await disconnect()
    except (RedisError, OSError):
        with suppress(RedisError, OSError):
            await disconnect()
