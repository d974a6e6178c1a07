"""The lease: keeps a live job's arq lock fresh, so that a dead worker's job runs again in seconds.

arq sets the lock's time to live once, to more than the job's timeout. Here the running job sets
it short and renews it, and pushes its score forward with it, so that no worker's poll looks at it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from redis.exceptions import RedisError

from chatflow_hook import wire
from imagegen import ticker

log = structlog.get_logger(__name__)

# Above everything that a job waits for; the lease, not this, finds a dead worker's jobs.
JOB_TIMEOUT_S = 3600
# What arq gives a lock as it takes a job, before the job itself can say anything.
FIRST_S = JOB_TIMEOUT_S + 10


@dataclass(frozen=True, kw_only=True)
class RecoveryTimes:
    """How soon it is known that a worker has died, and its jobs are found. Only tests hurry more.

    `lease_s`: how long a job stays locked after its worker's last word; renewed three times as
    often. `unrenewed_s`: a job that has not renewed its lease by then died before it could.
    `silent_s`: the hook rings right after its commit, and a job writes to its row as it gets on,
    so a row of less silence is not looked for. `relay_every_s`: how often the relay looks.
    `health_s`: how often the worker renews the key that `arq --check` looks at.
    """

    lease_s: float = 6.0
    unrenewed_s: float = 3.0
    silent_s: float = 5.0
    relay_every_s: float = 2.5
    health_s: float = 5.0


@asynccontextmanager
async def held(redis: ArqRedis, job_id: str, *, score: int, lease_s: float) -> AsyncIterator[None]:
    """Hold a job's lease while the block runs; `score` is the one it was picked up with."""
    try:
        async with ticker.every(
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
            pipe.zadd(wire.QUEUE, {job_id: until}, xx=True)
            await pipe.execute()
    except RedisError as error:
        log.warning("lease not renewed", job_id=job_id, error=type(error).__name__)


async def _put_back(redis: ArqRedis, job_id: str, score: int) -> None:
    try:
        await redis.zadd(wire.QUEUE, {job_id: score}, xx=True)
    except RedisError as error:
        log.warning("score not put back", job_id=job_id, error=type(error).__name__)
