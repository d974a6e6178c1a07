"""The queue as arq's worker sees it: due by the clock of Redis, waiting for jobs, and able to stop.

arq compares the score of a job with the time of the machine on which the worker runs. Bots and
workers run on several machines, whose clocks differ. Here both sides of the comparison come from
the Redis server.

arq asks for due jobs at fixed intervals. Here its poll waits instead until a job may be due: until
somebody has told that one was enqueued, or the next entry of the queue is due. What nobody tells of
is found by a poll all the same, 0.8 s later at most.
"""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, WatchError

from chatflow_hook.queue import server_time_s

log = structlog.get_logger(__name__)

# The argument `min` of a method of redis-py hides it.
_least = min

# How long the time of Redis is carried on by this process's monotonic clock until it is read
# again: after a failover to another server it may be any other time.
_READ_CLOCK_EVERY_S = 1.0
# How long a poll waits if nobody tells anything. arq renews its health key in the same loop, which
# expires a second after it should have been renewed.
POLL_EVERY_S = 0.8
# The same while nobody could tell, and after a poll that has handed out jobs: arq may have found
# them locked, by a lease that ends a moment later.
_POLL_SOON_S = 0.05
# How many jobs are read beyond those that may start: some at the head may be locked, by a worker
# that has just taken them, or that died before it could move them out of the way.
_READ_MORE = 100


class JobQueue(ArqRedis):
    """arq's Redis client, for which the clock of Redis counts, and which can stop to hand out jobs.

    `is_told`: somebody calls `wake` whenever a job was enqueued, so polls may be rare.
    `polled_after_stop` is set once arq's worker has polled after `stop_dispatching`. From then on
    it does not start jobs from an earlier answer any more. `worker` is the id of this worker, which
    the locks of its jobs say; by default what arq writes.
    """

    def __init__(
        self, *args: Any, worker: str = "1", poll_every_s: float = POLL_EVERY_S, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.worker = worker
        self._poll_every_s = poll_every_s
        self._is_dispatching = True
        self._limit: Callable[[list[Any]], list[Any]] = list
        self._room: Callable[[], int] = lambda: sys.maxsize
        self.is_told = False
        self.polled_after_stop = asyncio.Event()
        self._clock = _RedisClock()
        self._woken = asyncio.Event()
        # How long the next poll may wait, as far as the one before could see.
        self._wait_s = 0.0
        # Whether the last poll has left jobs in the queue for which there was no room.
        self._is_full = False

    def stop_dispatching(self) -> None:
        """Answer each further poll of arq's worker with no job. It cannot be undone."""
        self._is_dispatching = False
        self._woken.set()

    def wake(self) -> None:
        """Let the poll that waits, or else the next one, ask Redis at once: a job may be due."""
        self._woken.set()

    async def make_room(self, ctx: dict[Any, Any]) -> None:  # noqa: ARG002 (arq's name)
        """Wake the poll if jobs wait for one that runs; arq calls it after the end of each job."""
        if self._is_full:
            self._woken.set()

    def limit_jobs(self, limit: Callable[[list[Any]], list[Any]]) -> None:
        """Hand out only those of the due jobs that `limit` returns; it is called at each poll."""
        self._limit = limit

    def limit_running(self, running: Callable[[], int], limit: Callable[[], int]) -> None:
        """Hand out no more jobs than fit beside those that run; both are asked at each poll.

        arq's own `max_jobs` cannot change while the worker runs, and the slots can.
        """
        self._room = lambda: max(0, limit() - running())

    async def now_ms(self) -> int:
        """Return the time of the Redis server in milliseconds since the epoch.

        It is read at most once a second.

        Raises:
            RedisError: Redis cannot be used.
        """
        if self._clock.age_s >= _READ_CLOCK_EVERY_S:
            self._clock.set(await server_time_s(self))
        return self._clock.now_ms()

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:  # noqa: FBT002 (redis-py's signature)
        """Return a pipeline with which arq takes a job."""
        return _JobTakingPipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            clock=self._clock,
        )

    async def zrangebyscore(  # type: ignore[override]
        self,
        name: Any,
        min: Any,  # noqa: A002
        max: Any,  # noqa: A002, ARG002
        *,
        start: int | None = None,
        num: int | None = None,
    ) -> Any:
        """Wait until jobs may be due, and return their ids; arq's worker calls this at each poll.

        `max` is the time of this machine, instead of which that of Redis counts. `poll_every_s`
        pass at most, and then none may be due. It may be cancelled.
        """
        await self._wait()
        if not self._is_dispatching:
            self.polled_after_stop.set()
            return []
        room = self._room()
        most = None if num is None else _least(num, room + _READ_MORE)
        entries = await self._next_entries(name, min, start=start, num=most)
        now_ms = self._clock.now_ms()
        due = [job_id for job_id, score in entries if score <= now_ms]
        self._is_full = len(due) > room
        free = await self._unlocked(due) if self._is_full and room else due
        jobs = self._limit(free[:room])
        if jobs:
            self._wait_s = _POLL_SOON_S
        elif len(due) < len(entries):
            next_score = entries[len(due)][1]
            self._wait_s = wait_s(next_score, now_ms=now_ms, most_s=self._poll_every_s)
        return jobs

    async def _next_entries(
        self, name: Any, least: Any, *, start: int | None, num: int | None
    ) -> Any:
        """Return the entries that are due before the next poll, with their scores.

        A clock that is old is read anew in the same message.
        """
        if not self._clock.was_read:
            await self.now_ms()
        most = self._clock.now_ms() + self._poll_every_s * 1000
        window: dict[str, Any] = {"start": start, "num": num, "withscores": True}
        if self._clock.age_s < _READ_CLOCK_EVERY_S:
            return await super().zrangebyscore(name, least, most, **window)
        async with super().pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrangebyscore(name, least, most, **window)
            (seconds, microseconds), entries = await pipe.execute()
        self._clock.set(seconds + microseconds / 1e6)
        return entries

    async def _unlocked(self, job_ids: Sequence[bytes]) -> list[bytes]:
        """Return those of the jobs that no worker runs; arq asks again when it takes one."""
        prefix = in_progress_key_prefix.encode()
        locks = await self.mget([prefix + job_id for job_id in job_ids])
        return [job_id for job_id, lock in zip(job_ids, locks, strict=True) if lock is None]

    async def _wait(self) -> None:
        wait_s = self._wait_s if self.is_told else _least(self._wait_s, _POLL_SOON_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        self._woken.clear()
        self._wait_s = self._poll_every_s


def wait_s(score: float, *, now_ms: int, most_s: float) -> float:
    """Return how many seconds pass until a score is due, `most_s` at most.

    If the clock of Redis was set back, an entry that was due a moment ago is due in an hour.
    """
    return _least((score - now_ms) / 1000, most_s)


def score_for_arq(score: float | None, *, redis_ms: int, own_ms: int) -> float | None:
    """Return the score with which arq decides as the clock of Redis demands.

    arq starts a job if its score is neither 0 nor after `own_ms`, the time of this machine. Returns
    None, for which arq starts nothing, if the job is not due at `redis_ms`, the time of Redis.
    """
    if score is None or score > redis_ms:
        return None
    return max(1.0, min(score, own_ms))


class _RedisClock:
    """The time of the Redis server, carried on by the monotonic clock since it was read."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._server_s = 0.0

    @property
    def was_read(self) -> bool:
        return math.isfinite(self._read_at)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._read_at

    def set(self, server_s: float) -> None:
        self._read_at, self._server_s = time.monotonic(), server_s

    def now_ms(self) -> int:
        return int((self._server_s + self.age_s) * 1000)


class _JobTakingPipeline(Pipeline):
    """The pipeline with which arq takes a job: WATCH, read lock and score, then set the lock.

    A connection that breaks after the WATCH raises WatchError from the reads. arq expects that
    error only from EXEC, and its worker would end. Here the read answers instead that the lock
    exists, so to arq the job is one that another worker has. Nor does it end when Redis is silent,
    away or refuses everything at the end of the pipeline, where redis-py sends UNWATCH.
    """

    def __init__(self, *args: Any, clock: _RedisClock) -> None:
        super().__init__(*args)
        self._clock = clock

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command between WATCH and MULTI, which redis-py does not buffer."""
        try:
            answer = await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except WatchError:
            log.warning("job not taken, since Redis broke off", command=args[0])
            return {"EXISTS": 1}.get(args[0])
        if args[0] == "ZSCORE":
            own_ms = int(time.time() * 1000)
            return score_for_arq(answer, redis_ms=self._clock.now_ms(), own_ms=own_ms)
        return answer

    async def reset(self) -> None:
        """End the WATCH and give the connection back to the pool."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            log.warning("connection closed, since Redis broke off", error=type(error).__name__)
            await self._reset_without_redis()
        except asyncio.CancelledError:
            await self._reset_without_redis()
            raise

    async def _reset_without_redis(self) -> None:
        # Redis forgets what a closed connection has watched.
        self.watching = False
        if self.connection is not None:
            await self.connection.disconnect(nowait=True)
        await super().reset()  # type: ignore[no-untyped-call]
