"""The relay: what Redis has lost of open requests, or holds wrongly, is put right.

A request may have been written while Redis was away. Or Redis has lost it since: all requests when
it was emptied, or one of a job's keys when the key was evicted, expired or deleted. An entry of the
queue may lie in the future because the clock of a machine was wrong that wrote it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from arq.constants import in_progress_key_prefix, retry_key_prefix
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.queue import PAYLOAD_KEY_PREFIX, QUEUE, add_enqueue
from chatflow_hook.settings import RedisPlace
from imagegen.errors import Unavailable
from imagegen.queue import job_lease
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.queue.job_queue import JobQueue
from imagegen.requests.repository import RequestCursor, RequestRepository

log = structlog.get_logger(__name__)

# One step reads so many pages of rows, and more only as long as it finds something wrong; the next
# step goes on behind them.
_PAGE_SIZE = 1000
_PAGES = 2
# What PTTL answers for a key that does not exist; for one that never expires, -1.
_NO_KEY = -2
# A difference between clocks that is not worth a correction.
_TOLERANCE_MS = 1000


@dataclass(frozen=True, kw_only=True)
class QueueTrace:
    """What Redis knows of a request.

    Attributes:
        request_id: the request, whose id is the id of the job.
        has_payload: whether arq's job key exists, which holds the function and its arguments.
        score: when the job is due, in ms by the clock of Redis; None if it is not in the queue.
        was_tried: whether arq counts tries of the job; no job is deferred before its first try.
        lock_ms: the remaining time to live of the job's lock in milliseconds, -2 for no lock, -1 for
            a lock without end.
    """

    request_id: UUID
    has_payload: bool
    score: float | None
    was_tried: bool
    lock_ms: int

    def is_running(self, times: RecoveryTimes) -> bool:
        """Return whether a worker may be running the job.

        A job is locked for one lease, and again and again while it runs. No worker of this version
        sets a longer lock; one of an older version does for a moment, and if that lock is taken off,
        the claim decides between two runs. The clock of Redis may have been set back since, too.
        """
        return 0 <= self.lock_ms <= times.lease_s * 1000

    @property
    def is_lost(self) -> bool:
        """Whether no worker could find the job and start it."""
        return not self.has_payload or self.score is None

    def is_misdated(self, now_ms: int) -> bool:
        """Return whether the job's score can be no due time: it is too far ahead, or not above 0."""
        if self.score is None:
            return False
        deferral_ms = job_lease.MAX_DEFERRAL_S * 1000 if self.was_tried else 0
        return not 0 < self.score <= now_ms + deferral_ms + _TOLERANCE_MS


class OutboxRelay:
    """Finds open requests that no worker runs and that Redis would bring to none in time.

    `place` is the address of the queue's Redis.
    """

    def __init__(
        self,
        requests: RequestRepository,
        queue: JobQueue,
        times: RecoveryTimes,
        *,
        place: RedisPlace,
    ) -> None:
        self._requests = requests
        self._queue = queue
        self._times = times
        self._place = place
        self._cursor: RequestCursor | None = None

    async def step(self) -> None:
        """Look at 2000 silent requests, and put right what Redis holds of them.

        If something was wrong in the last of them, it looks on: a Redis that was emptied has lost
        all. Several workers may do this at the same time, since Redis keeps one job of an id. A
        PostgreSQL or a Redis that is away is logged; the next call tries again.
        """
        try:
            for number in itertools.count(1):
                page = await self._requests.find_silent(
                    silent_s=self._times.silent_s, after=self._cursor, most=_PAGE_SIZE
                )
                was_wrong = await self._repair(page)
                self._cursor = page[-1] if len(page) == _PAGE_SIZE else None
                if self._cursor is None or (number >= _PAGES and not was_wrong):
                    break
        except Unavailable as error:
            log.warning("relay waits", why=error.sentence)
        except (RedisError, OSError) as error:
            place = self._place
            log.warning("relay waits", why=redis_errors.why(error, place.address, user=place.user))

    async def _repair(self, page: Sequence[RequestCursor]) -> bool:
        """Put right what Redis holds of these requests; return whether anything was wrong."""
        traces = await self._read_traces([place.request_id for place in page])
        now_ms = await self._queue.now_ms()
        async with self._queue.pipeline(transaction=False) as pipe:
            for place, trace in zip(page, traces, strict=True):
                # By age, so that what was lost comes in its old order and before what is new.
                due_ms = max(1, now_ms - max(0, int(place.age_s * 1000)))
                self._add_repair(pipe, trace, now_ms=now_ms, due_ms=due_ms)
            return bool(await pipe.execute())

    async def _read_traces(self, request_ids: Sequence[UUID]) -> list[QueueTrace]:
        async with self._queue.pipeline(transaction=False) as pipe:
            for request_id in request_ids:
                pipe.exists(f"{PAYLOAD_KEY_PREFIX}{request_id}")
                pipe.zscore(QUEUE, str(request_id))
                pipe.exists(f"{retry_key_prefix}{request_id}")
                pipe.pttl(f"{in_progress_key_prefix}{request_id}")
            answers = await pipe.execute()
        return [
            QueueTrace(
                request_id=request_id,
                has_payload=bool(answers[4 * index]),
                score=answers[4 * index + 1],
                was_tried=bool(answers[4 * index + 2]),
                lock_ms=answers[4 * index + 3],
            )
            for index, request_id in enumerate(request_ids)
        ]

    def _add_repair(self, pipe: Pipeline, trace: QueueTrace, *, now_ms: int, due_ms: int) -> None:
        """Add the commands that put one job right; each of them does no harm if it comes late."""
        if trace.is_running(self._times):
            return
        job_id = str(trace.request_id)
        if trace.lock_ms != _NO_KEY:
            log.warning("lock of a dead job taken off", request_id=job_id)
            pipe.delete(in_progress_key_prefix + job_id)
        if trace.is_lost:
            log.warning("rung again", request_id=job_id)
            add_enqueue(pipe, trace.request_id, due_ms=due_ms)
        if trace.score is not None and trace.is_misdated(now_ms):
            ahead_s = round((trace.score - now_ms) / 1000, 1)
            log.warning(
                "job due at once",
                why="the clock that set its time was wrong",
                request_id=job_id,
                ahead_s=ahead_s,
            )
            pipe.zadd(QUEUE, {job_id: due_ms}, xx=True)
