"""The relay: rows whose doorbell never rang, or was lost, are rung for again."""

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

# A step looks at so many rows, the next one goes on behind them.
_PAGE = 1000
_PAGES = 2
_NO_KEY = -2


@dataclass(frozen=True, kw_only=True)
class QueueTrace:
    """What Redis knows of a request; `lock_ms` is how long its lock still lives, -2 for none."""

    request_id: UUID
    has_payload: bool
    is_queued: bool
    lock_ms: int

    def was_never_renewed(self, times: RecoveryTimes) -> bool:
        """Whether a worker took the job and died before it could do anything with it."""
        age_ms = job_lease.FIRST_S * 1000 - self.lock_ms
        return self.lock_ms > times.lease_s * 1000 and age_ms > times.unrenewed_s * 1000

    @property
    def is_lost(self) -> bool:
        """Whether no worker has the job, and none will find it."""
        return self.lock_ms == _NO_KEY and not (self.has_payload and self.is_queued)


class OutboxRelay:
    """Finds open requests that no worker has and Redis will bring to none.

    They may have been written while Redis was away, or Redis lost them since: all of them when it
    was emptied, or one of a job's keys when it expired or a stale job ended.
    """

    def __init__(self, requests: RequestRepository, queue: ArqRedis, times: RecoveryTimes) -> None:
        self._requests = requests
        self._queue = queue
        self._times = times
        self._after: RequestCursor | None = None

    async def step(self) -> None:
        """Look once; several workers may look at the same time, since a job id is queued once."""
        try:
            for _ in range(_PAGES):
                page = await self._requests.find_silent(
                    silent_s=self._times.silent_s, after=self._after, most=_PAGE
                )
                self._after = page[-1] if len(page) == _PAGE else None
                for trace in await self._traces([place.request_id for place in page]):
                    await self._repair(trace)
                if self._after is None:
                    break
        except (Unavailable, RedisError) as error:
            log.warning("relay waits", why=str(error))

    async def _traces(self, requests: Sequence[UUID]) -> list[QueueTrace]:
        async with self._queue.pipeline(transaction=False) as pipe:
            for each in requests:
                pipe.exists(f"{job_key_prefix}{each}")
                pipe.zscore(QUEUE, str(each))
                pipe.pttl(f"{in_progress_key_prefix}{each}")
            known = await pipe.execute()
        return [
            QueueTrace(
                request_id=each,
                has_payload=bool(known[3 * at]),
                is_queued=known[3 * at + 1] is not None,
                lock_ms=known[3 * at + 2],
            )
            for at, each in enumerate(requests)
        ]

    async def _repair(self, trace: QueueTrace) -> None:
        name = str(trace.request_id)
        if trace.was_never_renewed(self._times):
            log.warning("lock of a dead job taken off", request_id=name)
            await self._queue.delete(f"{in_progress_key_prefix}{name}")
        elif trace.is_lost:
            log.warning("rung again", request_id=name)
            if trace.has_payload:
                await self._queue.zadd(QUEUE, {name: 0}, nx=True)
            else:
                await self._queue.enqueue_job(JOB, name, _job_id=name)
