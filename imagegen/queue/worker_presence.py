"""WorkerPresence: which workers run, seen by their connections to Redis.

Each worker listens to a channel of its own for as long as it lives. When its process dies, its
connection is closed at once, and Redis counts nobody on its channel any more: the others notice
that within a second or so, long before a lease ends. A worker that only stands still keeps its
connection. A machine that loses its power does not close it: there the leases decide, as before.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from chatflow_hook import subscription
from chatflow_hook.queue import close
from imagegen import periodic

log = structlog.get_logger(__name__)

# A sorted set of the workers' ids; the score is when each of them was last seen, by Redis' clock.
WORKERS_KEY = "imagegen:workers"
# A worker that was not seen for so long is not asked for any more.
_FORGET_AFTER_S = 60
_REGISTER_EVERY_S = 2.0
_SUBSCRIBE_TIMEOUT_S = 2.0
# A connection on which nothing was heard for so long is asked whether it still stands, and has as
# long again to answer.
_PING_AFTER_S = 4.0
_RECONNECT_AFTER_S = 0.2

_REGISTER = """
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], clock[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


@dataclass(frozen=True, kw_only=True)
class PresenceTimes:
    """How soon a dead worker is noticed; only tests use other times.

    Attributes:
        look_every_s: the interval at which each worker looks for the others; one that is alone
            looks four times more rarely whether it still is.
        missing_s: a worker is dead that nobody heard for this time; one whose connection broke has
            opened another one by then.
        settle_s: after Redis was away nobody is taken for dead for this time, since all of them
            connect anew.
    """

    look_every_s: float = 0.5
    missing_s: float = 0.8
    settle_s: float = 5.0


class WorkerPresence:
    """Shows that this worker lives, and calls `on_death` with the id of one that has died.

    `channel` gives the channel of a worker by its id, and `on_message` is called with each message
    on that of this one. Of several workers that notice a death one is called. If `on_death` raises a
    RedisError or an OSError, the leases of the dead worker end by themselves.
    """

    def __init__(  # noqa: PLR0913 (all but two by name)
        self,
        redis: Redis,
        worker: str,
        *,
        channel: Callable[[str], str],
        on_message: Callable[[str], None],
        on_death: Callable[[str], Awaitable[None]],
        times: PresenceTimes = PresenceTimes(),
    ) -> None:
        self._redis = redis
        self._register_script = redis.register_script(_REGISTER)
        self._worker = worker
        self._channel = channel
        self._on_message = on_message
        self._on_death = on_death
        self._times = times
        self._is_listening = asyncio.Event()
        # The other workers that were there at the last look, and since when some are missing.
        self._others: tuple[str, ...] = ()
        self._missing_since: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._registered_at = float("-inf")
        self._judges_from = float("-inf")

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the presence and look for the others while the block runs."""
        listening = periodic.every(_RECONNECT_AFTER_S, self._listen, name="presence of this worker")
        looking = periodic.every(self._times.look_every_s, self._look, name="other workers")
        async with listening:
            try:
                async with looking:
                    yield
            finally:
                # Before the connection is closed, so that nobody takes this for a death.
                with suppress(RedisError, OSError):
                    await self._redis.zrem(WORKERS_KEY, self._worker)

    async def _listen(self) -> None:
        """Listen on the channel of this worker until the connection breaks."""
        pubsub = self._redis.pubsub()
        # Redis-py logs nothing, and neither do we: the queue's client says that Redis is away.
        try:
            await pubsub.subscribe(self._channel(self._worker))
            await subscription.wait_for_confirmation(pubsub, within_s=_SUBSCRIBE_TIMEOUT_S)
            self._is_listening.set()
            await self._read_messages(pubsub)
        except (RedisError, OSError, TimeoutError):
            self._wait_before_judging()
        finally:
            self._is_listening.clear()
            await close(pubsub)

    async def _read_messages(self, pubsub: PubSub) -> None:
        """Hand each message on, until the connection breaks.

        Raises:
            TimeoutError: the server does not answer a ping.
            RedisError: the connection broke. An OSError may come instead.
        """
        async for message in subscription.messages(pubsub, ping_after_s=_PING_AFTER_S):
            if message is not None and message["type"] == "message":
                self._on_message(message["data"].decode())

    async def _look(self) -> None:
        """Look who is there; call `on_death` for who was there and is not any more."""
        if not self._is_listening.is_set():
            return
        now = time.monotonic()
        if not self._others and now - self._looked_at < 4 * self._times.look_every_s:
            return
        if now - self._looked_at > 8 * self._times.look_every_s:
            # This process stood still, or has just begun: who is missing may be connecting.
            self._missing_since = {}
        self._looked_at = now
        try:
            missing = await self._missing(now)
            for worker in self._dead(missing, now):
                await self._declare_dead(worker)
        except (RedisError, OSError):
            self._wait_before_judging()

    async def _register(self, now: float) -> Sequence[bytes]:
        """Say that this worker is there, and return the ids of all that are."""
        known: Sequence[bytes] = await self._register_script(
            keys=[WORKERS_KEY], args=[self._worker, _FORGET_AFTER_S]
        )
        self._registered_at = now
        return known

    async def _missing(self, now: float) -> set[str]:
        missing: set[str] = set()
        if not self._others:
            known = await self._register(now)
        else:
            if now - self._registered_at >= _REGISTER_EVERY_S:
                await self._register(now)
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zrange(WORKERS_KEY, 0, -1)
                pipe.pubsub_numsub(*map(self._channel, self._others))
                known, listeners = await pipe.execute()
            missing = {
                worker
                for worker, (_, count) in zip(self._others, listeners, strict=True)
                if not count and worker.encode() in known
            }
        self._others = tuple(worker.decode() for worker in known if worker != self._worker.encode())
        return missing

    def _dead(self, missing: set[str], now: float) -> list[str]:
        self._missing_since = {
            worker: self._missing_since.get(worker, now) for worker in sorted(missing)
        }
        if now < self._judges_from:
            return []
        return [
            worker
            for worker, since in self._missing_since.items()
            if now - since >= self._times.missing_s
        ]

    async def _declare_dead(self, worker: str) -> None:
        # Only one of those that notice it gets a 1.
        if await self._redis.zrem(WORKERS_KEY, worker):
            log.warning("a worker has died", died=worker)
            await self._on_death(worker)

    def _wait_before_judging(self) -> None:
        self._missing_since = {}
        self._judges_from = time.monotonic() + self._times.settle_s
