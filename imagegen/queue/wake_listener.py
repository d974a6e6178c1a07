"""Wakes the polling worker as soon as the hook has enqueued a job.

The message says nothing but that there is something to ask for: the queue alone says which jobs are
due, and arq alone takes them. One that is lost costs 0.8 s.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from chatflow_hook import redis_errors, subscription
from chatflow_hook.queue import close, queued_channel
from chatflow_hook.settings import RedisPlace
from imagegen import periodic
from imagegen.queue.job_queue import JobQueue

log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S = 1.0
_RECONNECT_AFTER_S = 1.0
# A connection that is silent for so long is asked whether it still stands.
_PING_AFTER_S = 5.0


def _ignore(_: bytes | None) -> None:
    pass


class WakeListener:
    """Listens on the channel of the queue in the database `db` of Redis, and wakes `queue`.

    `on_message` is called with each message, and with None whenever some may have been missed.
    """

    def __init__(
        self,
        queue: JobQueue,
        redis: RedisPlace,
        *,
        db: int,
        on_message: Callable[[bytes | None], None] = _ignore,
        ping_after_s: float = _PING_AFTER_S,
    ) -> None:
        self._queue = queue
        self._on_message = on_message
        self._place = redis
        self._channel = queued_channel(db)
        self._ping_after_s = ping_after_s
        # No socket timeout: a subscription is silent for as long as nothing is enqueued.
        pool = redis.pool(db, socket_timeout=None, socket_connect_timeout=_CONNECT_TIMEOUT_S)
        self._redis = Redis(connection_pool=pool)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the block runs; while Redis is away, the queue is polled more often."""
        try:
            async with periodic.every(_RECONNECT_AFTER_S, self._listen, name="queue wakes"):
                yield
        finally:
            await close(self._redis)

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(self._channel)
            await self._read_messages(pubsub)
        except (RedisError, OSError) as error:
            place = self._place
            why = redis_errors.why(error, place.address, user=place.user)
            log.warning("queue is polled more often", channel=self._channel, why=why)
        finally:
            self._queue.is_told = False
            self._queue.wake()
            await close(pubsub)

    async def _read_messages(self, pubsub: PubSub) -> None:
        """Wake the queue at each message, the answer to the subscription included.

        Raises:
            TimeoutError: the server does not answer a ping.
            RedisError: the connection broke. An OSError may come instead.
        """
        async for message in subscription.messages(pubsub, ping_after_s=self._ping_after_s):
            if message is not None and message["type"] != "pong":
                self._queue.is_told = True
                self._queue.wake()
                self._on_message(message["data"] if message["type"] == "message" else None)
