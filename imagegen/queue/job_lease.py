"""The lease of a job: a dead worker's job runs again within seconds.

arq sets the time to live of a job's lock only once, to more than the job's timeout. Here it sets a
short one, which the running job renews. The job also moves its score in the queue forward each
time, so that no worker's poll looks at a job that runs. All scores are times of the Redis server.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog
from arq.constants import in_progress_key_prefix
from arq.cron import CronJob
from arq.worker import Function, Retry, Worker, func
from redis.exceptions import RedisError

from chatflow_hook.queue import QUEUE
from imagegen import periodic
from imagegen.queue.job_queue import JobQueue

log = structlog.get_logger(__name__)

# In effect no limit, but arq wants one: a year. A job may wait for hosts or for PostgreSQL as long as
# they are away, and whatever else it does has a timeout of its own.
JOB_TIMEOUT_S = 365 * 86_400
# In effect no limit: the row counts its attempts, and arq counts every deploy as a try.
MAX_TRIES = 1_000_000
_PUT_OFF_S = 5.0
# A job that is to wait longer runs again after this time and waits anew. So an entry of the queue
# that lies further in the future was written by a wrong clock, and the relay can tell.
MAX_DEFERRAL_S = 60


# A running job's score lies in the future. 1 is the earliest that arq takes for a score.
_FREE_JOBS = """
local freed = 0
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')) do
  if redis.call('GET', ARGV[3] .. job) == ARGV[2] then
    redis.call('DEL', ARGV[3] .. job)
    redis.call('ZADD', KEYS[1], 1, job)
    freed = freed + 1
  end
end
return freed
"""


@dataclass(frozen=True, kw_only=True)
class RecoveryTimes:
    """How soon a job that no worker has any more is found; only tests use shorter times.

    Attributes:
        lease_s: how long a job stays locked after its worker's last renewal, and after arq has
            taken it. It is renewed three times in this time.
        silent_s: the relay only looks at requests to which nothing was written for this time.
            The hook enqueues right after its commit, and a running job writes to its row again
            and again, so a row that changed more recently needs no help.
        relay_every_s: the interval at which the relay looks.
        health_s: the interval at which the worker renews the key that `arq --check` reads.
    """

    lease_s: float = 6.0
    silent_s: float = 5.0
    relay_every_s: float = 2.5
    health_s: float = 5.0


@asynccontextmanager
async def held(queue: JobQueue, job_id: str, *, score: int, lease_s: float) -> AsyncIterator[None]:
    """Hold a job's lease while the block runs.

    `score` is the one under which arq took the job (its due time in ms). A Redis that is away is
    logged and does not interrupt the block: the claim on the row decides who may write, not this
    lease.

    The block may raise arq's Retry with a delay. The delay counts by the clock of Redis, and the job
    runs again after 60 s at the latest.

    Raises:
        Retry: the block raised it; the delay is in the queue already and not in the exception.
    """
    try:
        async with periodic.every(
            lease_s / 3, lambda: _renew(queue, job_id, lease_s), name=f"lease of {job_id}"
        ):
            yield
    except Retry as retry:
        delay_s = min((retry.defer_score or 0) / 1000, MAX_DEFERRAL_S)
        await _move_back(queue, job_id, score=score, delay_s=delay_s)
        # Without the delay, which arq would count by the clock of this machine.
        raise Retry from retry
    except BaseException:
        await _move_back(queue, job_id, score=score, delay_s=0.0)
        raise
    # A job that has ended well is taken out of the queue by arq, whatever its score is.


async def free_jobs_of(queue: JobQueue, worker: str) -> int:
    """Free the jobs of a worker that has died, so that they run at once; return how many.

    They come before all others, since each of them may have a prompt on a host. A job that died
    before it renewed its lease has a lock without a name, and is free when its lease has ended.

    Raises:
        RedisError: Redis cannot be used.
    """
    script = queue.register_script(_FREE_JOBS)
    freed: int = await script(
        keys=[QUEUE], args=[await queue.now_ms(), worker, in_progress_key_prefix]
    )
    if freed:
        queue.wake()
    return freed


def adapt_arq(lease_s: float) -> None:
    """Let arq's worker take and leave jobs as leases need it; call it in the task that polls.

    It may run the same job twice at a time, locks a job that it takes for one lease, and leaves jobs
    of functions that only a newer worker has in the queue.
    """
    worker = _polling_worker()
    # A worker that was paused for longer than a lease finds its own jobs unlocked when it wakes, and
    # takes them again. The claim decides which of the two runs may write. But arq keeps the tasks of
    # its jobs in a dict by job id: when the second run ends, its entry is gone already, and arq would
    # call that a failure and drop the job, even where the job asked for a retry.
    worker.job_tasks = _JobTasks(worker.job_tasks)
    # arq's own lock is longer than `JOB_TIMEOUT_S`, and a job whose worker dies before its first
    # renewal would stay locked for so long.
    worker.in_progress_timeout_s = lease_s
    # arq deletes such a job. Here it is put off again and again until a newer worker takes it.
    worker.functions = _Functions(worker.functions)


async def _renew(queue: JobQueue, job_id: str, lease_s: float) -> None:
    try:
        until_ms = await queue.now_ms() + int(lease_s * 1000)
        async with queue.pipeline(transaction=False) as pipe:
            # SET instead of PEXPIRE: Redis may have been emptied while the job ran.
            pipe.set(in_progress_key_prefix + job_id, queue.worker, px=int(lease_s * 1000))
            pipe.zadd(QUEUE, {job_id: until_ms}, xx=True)
            await pipe.execute()
    except RedisError as error:
        log.warning("lease not renewed", job_id=job_id, error=type(error).__name__)


async def _move_back(queue: JobQueue, job_id: str, *, score: int, delay_s: float) -> None:
    """Set the score of a job that ends, from the end of the lease to when the job is due."""
    try:
        due_ms = await queue.now_ms() + int(delay_s * 1000) if delay_s else score
        await queue.zadd(QUEUE, {job_id: due_ms}, xx=True)
    except RedisError as error:
        log.warning("score not put back", job_id=job_id, error=type(error).__name__)
    # The poll that waits does not know of this time yet.
    queue.wake()


def _polling_worker() -> Worker:
    # arq gives its worker to nobody, but the current task runs the worker's method `main`.
    task = cast("asyncio.Task[None]", asyncio.current_task())
    main = cast("Coroutine[Any, Any, None]", task.get_coro())
    return cast("Worker", main.cr_frame.f_locals["self"])  # type: ignore[attr-defined]


class _Functions(dict[str, Function | CronJob]):
    """arq's functions by name; one that is not there puts its job off."""

    def __missing__(self, name: str) -> Function:
        return func(_put_off, name=name, max_tries=MAX_TRIES, keep_result=0)


async def _put_off(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 (arq's form)
    async with held(ctx["redis"], ctx["job_id"], score=ctx["score"], lease_s=_PUT_OFF_S):
        raise Retry(defer=_PUT_OFF_S)


class _JobTasks(dict[str, asyncio.Task[Any]]):
    """arq's tasks by job id; to delete an id that is not there is no error."""

    def __delitem__(self, job_id: str) -> None:
        self.pop(job_id, None)
