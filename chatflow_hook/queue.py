"""Redis as the hook uses it: enqueues arq jobs, and publishes the end of a request.

Hook and worker share these names and the JSON form of a job. Redis holds ids only, never what
people wrote. The time at which a job is due is that of the Redis server, never of the bot.

A bot brings its own redis-py, any version from 4.6 on: nothing here uses what came later, such as
`Redis.from_pool` and `aclose`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.clock_skew import ClockSkew
from chatflow_hook.failures import Throttle
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


# All channels of ours. A Redis that has been told by an ACL which channels may be used allows a
# pattern only if it is the rule itself, letter by letter; docs/settings.md has this one.
OUR_CHANNELS = "imagegen:*"


# What the channels begin with on which ends of requests are published.
ENDED_CHANNELS = "imagegen:ended:"


def queued_channel(broker_db: int) -> str:
    """Return the name of the pub/sub channel on which it is published that a job was enqueued.

    The channels of Redis belong to no database: `broker_db` is that of the queue.
    """
    return f"imagegen:queued:{broker_db}"


def ended_channel(request_id: UUID) -> str:
    """Return the name of the pub/sub channel on which the end of a request is published."""
    return f"{ENDED_CHANNELS}{request_id}"


def progress_key(request_id: UUID) -> str:
    """Return the name of the Redis key that holds the live progress of a request."""
    return f"imagegen:live:{request_id}"


def flood_wait_key(chat: str) -> str:
    """Return the name of the Redis key that exists while Telegram demands a pause of a chat."""
    return f"imagegen:telegram:shut:{chat}"


log = structlog.get_logger(__name__)

# A Redis that is down or frozen must not delay the bot's answer in the chat.
_SOCKET_TIMEOUT_S = 0.4
_PUBLISH_TIMEOUT_S = 2.0


class QueueClient:
    """Connections to the two Redis databases, opened at first use; `close` closes them.

    `outage` says why Redis did not take the last job, None if it did.
    """

    def __init__(self, redis: RedisPlace, *, broker_db: int, result_db: int) -> None:
        self.outage: str | None = None
        self._place = redis
        self._queued_channel = queued_channel(broker_db)
        timeouts = {
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "socket_connect_timeout": _SOCKET_TIMEOUT_S,
        }
        self._jobs = Redis(connection_pool=redis.pool(broker_db, **timeouts))
        self._redis_clock = ClockSkew("redis")
        self._throttle = Throttle()
        # No socket timeout, which redis-py 8 has by default: a subscription is silent for as long as
        # nothing ends.
        listening = {"socket_timeout": None, "socket_connect_timeout": _SOCKET_TIMEOUT_S}
        self._results = Redis(connection_pool=redis.pool(result_db, **listening))

    async def enqueue(self, request_id: UUID, *, within_s: float) -> bool:
        """Enqueue the arq job of a request; return whether Redis took it within `within_s` seconds.

        If it did not, the worker's relay enqueues the job later; it is logged, for each reason at
        most once a minute. May be called again for the same request: there is one job of an id. The
        workers are told, so that none has to wait for its next poll.
        """
        try:
            with _reraise_lost_cancellation():
                async with asyncio.timeout(within_s):
                    now_s = await self._redis_clock.measure(lambda: server_time_s(self._jobs))
                    await self._write(request_id, due_ms=int(now_s * 1000))
        except (RedisError, OSError, TimeoutError) as error:
            self.outage = self.why(error)
            if (untold := self._throttle.admit(self.outage)) is not None:
                log.warning(
                    "doorbell unheard",
                    request_id=str(request_id),
                    error=type(error).__name__,
                    why=self.outage,
                    untold=untold,
                )
            return False
        self.outage = None
        return True

    async def _write(self, request_id: UUID, *, due_ms: int) -> None:
        """Enqueue a job, and tell the workers, by one message.

        It needs no transaction: the worker's relay completes what was written in part.

        Raises:
            RedisError: Redis cannot be reached, or has refused the job. That it does not let this
                user tell the workers is no error, since they poll too.
        """
        async with self._jobs.pipeline(transaction=False) as pipe:
            add_enqueue(pipe, request_id, due_ms=due_ms)
            pipe.publish(self._queued_channel, "queued")
            *written, _ = await pipe.execute(raise_on_error=False)
        for answer in written:
            if isinstance(answer, RedisError):
                raise answer

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
        if not request_ids and not also_delete:
            return
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S), self._results.pipeline(False) as pipe:
                for key in also_delete:
                    pipe.delete(key)
                for request_id in request_ids:
                    pipe.delete(progress_key(request_id))
                    pipe.publish(ended_channel(request_id), "ended")
                await pipe.execute()

    def subscription(self) -> PubSub:
        """Return a subscription without channels yet; opens no connection. End it with `close`."""
        return self._results.pubsub()

    def why(self, error: BaseException) -> str:
        """Return one sentence about an error of Redis: the address, the reason and what to do."""
        return redis_errors.why(error, self._place.address, user=self._place.user)

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        await close(self._jobs)
        await close(self._results)


@contextmanager
def _reraise_lost_cancellation() -> Iterator[None]:
    """Raise a cancellation of the running task again if the block has lost it.

    With a socket timeout, redis-py sends by `asyncio.wait_for`. In Python 3.11 that loses a
    cancellation which comes just when the command has been sent.

    Raises:
        asyncio.CancelledError: the task was cancelled while the block ran.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def close(client: Redis | PubSub) -> None:
    """Close a client's connections; how it goes is of no interest to its caller any more.

    If the event loop is busy meanwhile, redis-py says that the time was over. The connection is
    closed then, but not yet returned to its pool, which the second call does.
    """
    disconnect: Callable[[], Awaitable[None]]
    if isinstance(client, PubSub):
        disconnect = partial(_leave, client)
    else:
        disconnect = client.connection_pool.disconnect
    try:
        await disconnect()
    except (RedisError, OSError):
        with suppress(RedisError, OSError):
            await disconnect()


async def _leave(pubsub: PubSub) -> None:
    # All versions of redis-py close a subscription at the end of its `async with`.
    async with pubsub:
        pass
