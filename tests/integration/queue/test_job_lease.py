"""The lease of a job: what is in the queue after the job has ended in each way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import structlog
from arq.constants import in_progress_key_prefix
from arq.worker import Retry

from chatflow_hook.queue import QUEUE, add_enqueue
from imagegen.queue import connections, job_lease
from imagegen.queue.job_queue import JobQueue
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations
from tests.support.arq_worker import polling
from tests.support.patience import PATIENCE_S
from tests.support.worker_log import worker_log

JOB_ID = "a"
LEASE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class LeasedJob:
    """A queue, and the due time of a job in it."""

    queue: JobQueue
    score: int

    async def end_with(self, error: BaseException | None) -> None:
        """Hold the job's lease until it is written, and then end the job."""
        async with job_lease.held(self.queue, JOB_ID, score=self.score, lease_s=LEASE_S):
            while await self.due_ms() == self.score:  # noqa: ASYNC110 (Redis gives no event)
                await asyncio.sleep(0.01)
            if error is not None:
                raise error

    async def due_ms(self) -> float:
        due_ms = await self.queue.zscore(QUEUE, JOB_ID)
        assert due_ms is not None
        return float(due_ms)


@pytest.fixture
async def job(redis_url: str) -> AsyncIterator[LeasedJob]:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    async with connections.job_queue(settings.redis, db=3) as queue:
        score = await queue.now_ms() - 5000
        await queue.zadd(QUEUE, {JOB_ID: score})
        yield LeasedJob(queue=queue, score=score)


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError(), Retry()])
async def test_a_job_that_ends_with_an_error_has_its_own_due_time_again(
    job: LeasedJob, error: BaseException
) -> None:
    results = await asyncio.gather(asyncio.create_task(job.end_with(error)), return_exceptions=True)

    assert type(results[0]) is type(error)
    assert await job.due_ms() == job.score


async def test_a_job_that_ends_well_is_left_to_arq_which_takes_it_out_of_the_queue(
    job: LeasedJob,
) -> None:
    await job.end_with(None)

    assert await job.due_ms() > job.score


@pytest.mark.parametrize(("asked_s", "delay_s"), [(3, 3), (3600, job_lease.MAX_DEFERRAL_S)])
async def test_a_retry_is_due_after_its_delay_by_the_clock_of_redis_and_within_a_minute(
    job: LeasedJob, asked_s: int, delay_s: int
) -> None:
    before_ms = await job.queue.now_ms()

    with pytest.raises(Retry) as raised:
        await job.end_with(Retry(defer=asked_s))

    after_ms = await job.queue.now_ms()
    assert raised.value.defer_score is None, "arq would add it by the clock of this machine"
    assert before_ms <= await job.due_ms() - delay_s * 1000 <= after_ms


async def test_an_outage_that_five_leases_meet_is_told_once_and_of_no_request() -> None:
    with ValkeyServer() as valkey, worker_log() as lines:
        settings = conversations.hook_settings("postgresql://unused/db", valkey.url)
        async with connections.job_queue(settings.redis, db=3) as queue:
            is_over = asyncio.Event()

            async def run(job_id: str) -> None:
                with structlog.contextvars.bound_contextvars(request_id=job_id):
                    async with job_lease.held(queue, job_id, score=0, lease_s=LEASE_S):
                        await is_over.wait()

            valkey.stop()
            async with closing_connections(valkey.url) as connected:
                jobs = [asyncio.create_task(run(job_id), name=job_id) for job_id in "abcde"]
                for _ in range(4 * len(jobs)):
                    await asyncio.wait_for(connected.get(), PATIENCE_S)
            valkey.start()
            is_over.set()
            await asyncio.gather(*jobs)

    outages = [line for line in lines if line["event"] == "redis cannot be used"]
    assert outages
    assert len({line["why"] for line in outages}) == len(outages)
    assert not any("request_id" in line for line in outages)


@asynccontextmanager
async def closing_connections(url: str) -> AsyncIterator[asyncio.Queue[None]]:
    """Close every connection to a server's address at once; yields a queue with one item for each."""
    connected: asyncio.Queue[None] = asyncio.Queue()

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        connected.put_nowait(None)

    async with await asyncio.start_server(close, "127.0.0.1", urlsplit(url).port):
        yield connected


async def test_a_job_that_arq_has_just_taken_is_locked_for_one_lease(redis_url: str) -> None:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    queue = connections.job_queue(settings.redis, db=3)
    locks_ms: asyncio.Queue[int] = asyncio.Queue()

    async def note_lock(ctx: dict[Any, Any], *_: Any) -> None:
        locks_ms.put_nowait(await queue.pttl(in_progress_key_prefix + ctx["job_id"]))

    async def on_startup(ctx: dict[Any, Any]) -> None:  # noqa: ARG001 (arq's)
        job_lease.adapt_arq(LEASE_S)

    async with queue.pipeline() as pipe:
        add_enqueue(pipe, UUID(int=1), due_ms=await queue.now_ms())
        await pipe.execute()
    async with polling(queue, note_lock, on_startup=on_startup), asyncio.timeout(PATIENCE_S):
        lock_ms = await locks_ms.get()

    assert 0 < lock_ms <= LEASE_S * 1000


async def test_the_jobs_of_a_dead_worker_are_free_at_once_and_come_first(redis_url: str) -> None:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    async with (
        connections.job_queue(settings.redis, db=3, worker="dead") as dead,
        connections.job_queue(settings.redis, db=3, worker="living") as living,
    ):
        due_ms = await living.now_ms() - 5000
        await living.zadd(QUEUE, {"of the dead": due_ms, "ours": due_ms, "waits": due_ms})
        for queue, job_id in ((dead, "of the dead"), (living, "ours")):
            await job_lease._renew(queue, job_id, LEASE_S)

        freed = await job_lease.free_jobs_of(living, "dead")

        assert freed == 1
        assert await living.zrange(QUEUE, 0, -1) == [b"of the dead", b"waits", b"ours"]
        assert await living.keys("arq:in-progress:*") == [b"arq:in-progress:ours"]
