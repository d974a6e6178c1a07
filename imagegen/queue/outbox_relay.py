"""The relay: open requests that are missing in Redis are enqueued again.

A request may have been written while Redis was away. Or Redis has lost it since: all requests when
it was emptied, or one of a job's keys when the key expired or when a stale run of the job ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.exceptions import RedisError

from chatflow_hook.queue import JOB, QUEUE
from imagegen.errors import Unavailable
from imagegen.queue import job_lease
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.requests.repository import RequestCursor, RequestRepository

log = structlog.get_logger(__name__)

# One step reads at most this many pages of rows; the next step goes on behind them.
_PAGE_SIZE = 1000
_MAX_PAGES = 2
# What PTTL answers for a key that does not exist.
_NO_KEY = -2


@dataclass(frozen=True, kw_only=True)
class QueueTrace:
    """What Redis knows of a request.

    Attributes:
        request_id: the request, whose id is the id of the job.
        has_payload: whether arq's job key exists, which holds the function and its arguments.
        is_queued: whether the job is in the queue's sorted set.
        lock_ms: the remaining time to live of the job's lock in milliseconds, -2 for no lock.
    """

    request_id: UUID
    has_payload: bool
    is_queued: bool
    lock_ms: int

    def was_never_renewed(self, times: RecoveryTimes) -> bool:
        """Return whether a worker locked the job and died before the job renewed the lease."""
        lock_age_ms = job_lease.INITIAL_LOCK_S * 1000 - self.lock_ms
        return self.lock_ms > times.lease_s * 1000 and lock_age_ms > times.unrenewed_s * 1000

    @property
    def is_lost(self) -> bool:
        """Whether no worker runs the job, and none could find and start it."""
        return self.lock_ms == _NO_KEY and not (self.has_payload and self.is_queued)


class OutboxRelay:
    """Finds open requests that no worker runs and that Redis would bring to none."""

    def __init__(self, requests: RequestRepository, queue: ArqRedis, times: RecoveryTimes) -> None:
        self._requests = requests
        self._queue = queue
        self._times = times
        self._cursor: RequestCursor | None = None

    async def step(self) -> None:
        """Look at up to 2000 silent requests and enqueue those that are lost.

        Several workers may do this at the same time, since arq queues a job id only once. A
        PostgreSQL or a Redis that is away is logged; the next call tries again.
        """
        try:
            for _ in range(_MAX_PAGES):
                page = await self._requests.find_silent(
                    silent_s=self._times.silent_s, after=self._cursor, most=_PAGE_SIZE
                )
                self._cursor = page[-1] if len(page) == _PAGE_SIZE else None
                for trace in await self._read_traces([place.request_id for place in page]):
                    await self._repair(trace)
                if self._cursor is None:
                    break
        except (Unavailable, RedisError) as error:
            log.warning("relay waits", why=str(error))

    async def _read_traces(self, request_ids: Sequence[UUID]) -> list[QueueTrace]:
        async with self._queue.pipeline(transaction=False) as pipe:
            for request_id in request_ids:
                pipe.exists(f"{job_key_prefix}{request_id}")
                pipe.zscore(QUEUE, str(request_id))
                pipe.pttl(f"{in_progress_key_prefix}{request_id}")
            answers = await pipe.execute()
        return [
            QueueTrace(
                request_id=request_id,
                has_payload=bool(answers[3 * index]),
                is_queued=answers[3 * index + 1] is not None,
                lock_ms=answers[3 * index + 2],
            )
            for index, request_id in enumerate(request_ids)
        ]

    async def _repair(self, trace: QueueTrace) -> None:
        job_id = str(trace.request_id)
        if trace.was_never_renewed(self._times):
            log.warning("lock of a dead job taken off", request_id=job_id)
            await self._queue.delete(f"{in_progress_key_prefix}{job_id}")
        elif trace.is_lost:
            log.warning("rung again", request_id=job_id)
            if trace.has_payload:
                await self._queue.zadd(QUEUE, {job_id: 0}, nx=True)
            else:
                await self._queue.enqueue_job(JOB, job_id, _job_id=job_id)
