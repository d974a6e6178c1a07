"""The lease of a job: a dead worker's job runs again within seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import RedisError

from chatflow_hook import queue
from imagegen import periodic

log = structlog.get_logger(__name__)

# Above everything that a job waits for; the lease, not this, finds a dead worker's jobs.
JOB_TIMEOUT_S = 3600
# What arq gives a lock as it takes a job, before the job itself can say anything.
FIRST_S = JOB_TIMEOUT_S + 10


@dataclass(frozen=True, kw_only=True)
class RecoveryTimes:
    """How soon a job is found that no worker has any more. Only tests are in a greater hurry.

    `lease_s`: how long a job stays locked after its worker's last word; renewed three times as
    often. `unrenewed_s`: a job that has not renewed its lease by then died before it could.
    `silent_s`: the hook rings right after its commit, and a job writes to its row as it gets on,
    so a row of less silence is not looked for. `relay_every_s`: how often the relay looks.
    """

    lease_s: float = 6.0
    unrenewed_s: float = 3.0
    silent_s: float = 5.0
    relay_every_s: float = 2.5


@asynccontextmanager
async def held(redis: ArqRedis, job_id: str, *, score: int, lease_s: float) -> AsyncIterator[None]:
    """Hold a job's lease while the block runs; `score` is the one it was picked up with."""
    try:
        async with periodic.every(
            lease_s / 3, lambda: _renew(redis, job_id, lease_s), name=f"lease of {job_id}"
        ):
            yield
    finally:
        # Before arq ends the job: it adds a deferral to the score that stands there.
        await _put_back(redis, job_id, score)


async def _renew(redis: ArqRedis, job_id: str, lease_s: float) -> None:
    until = int((time.time() + lease_s) * 1000)
    try:
        async with redis.pipeline(transaction=False) as pipe:
            # Set, not prolonged: Redis may have been emptied under the job.
            pipe.set(in_progress_key_prefix + job_id, b"1", px=int(lease_s * 1000))
            pipe.zadd(queue.QUEUE, {job_id: until}, xx=True)
            await pipe.execute()
    except RedisError as error:
        log.warning("lease not renewed", job_id=job_id, error=type(error).__name__)


async def _put_back(redis: ArqRedis, job_id: str, score: int) -> None:
    try:
        await redis.zadd(queue.QUEUE, {job_id: score}, xx=True)
    except RedisError as error:
        log.warning("score not put back", job_id=job_id, error=type(error).__name__)


class _TaskNotes(dict[str, asyncio.Task[Any]]):
    def __delitem__(self, job_id: str) -> None:
        self.pop(job_id, None)


def allow_two_runs_of_a_job() -> None:
    """Let arq forget a run that it has forgotten already; call it in the task that polls."""
    worker = _polling()
    worker.job_tasks = _TaskNotes(worker.job_tasks)


def _polling() -> Worker:
    # arq hands its worker to nobody: this task runs its `main`.
    task = cast("asyncio.Task[None]", asyncio.current_task())
    main = cast("Coroutine[Any, Any, None]", task.get_coro())
    return cast("Worker", main.cr_frame.f_locals["self"])  # type: ignore[attr-defined]
