"""arq's own worker, asked which jobs of a queue it would start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from arq.typing import StartupShutdown, WorkerCoroutine
from arq.worker import Worker, func

from chatflow_hook.queue import JOB, QUEUE, add_enqueue, dumps, loads
from chatflow_hook.settings import RedisPlace
from imagegen.queue import connections
from imagegen.queue.job_queue import JobQueue
from tests.support.patience import PATIENCE_S

_LAST = UUID(int=2**128 - 1)


async def started_jobs(redis: RedisPlace) -> set[str]:
    """Run arq's worker on the queue, and return the ids of all jobs that it has started by now.

    Each job ends at once. A last job is enqueued behind all that are due: once the worker has
    started it, it has passed by all others.
    """
    started: set[str] = set()
    is_last_started = asyncio.Event()

    async def record(ctx: dict[Any, Any], *args: Any) -> None:
        (request_id,) = args
        assert ctx["job_id"] == request_id
        started.add(request_id)
        if request_id == str(_LAST):
            is_last_started.set()

    queue = connections.job_queue(redis, db=3)
    async with queue.pipeline() as pipe:
        add_enqueue(pipe, _LAST, due_ms=await queue.now_ms())
        await pipe.execute()
    async with polling(queue, record), asyncio.timeout(PATIENCE_S):
        await is_last_started.wait()
    return started - {str(_LAST)}


@asynccontextmanager
async def polling(
    queue: JobQueue, job: WorkerCoroutine, *, on_startup: StartupShutdown | None = None
) -> AsyncIterator[None]:
    """Let arq's worker poll the queue while the block runs; wait for its jobs, and close the queue."""
    worker = Worker(
        [func(job, name=JOB, keep_result=0)],
        queue_name=QUEUE,
        redis_pool=queue,
        handle_signals=False,
        keep_result=0,
        on_startup=on_startup,
        poll_delay=0.01,
        max_jobs=5000,
        queue_read_limit=5000,
        job_serializer=dumps,
        job_deserializer=loads,
        after_job_end=queue.make_room,
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        await stop_worker(worker, task)


async def stop_worker(
    worker: Worker, polling_task: asyncio.Task[None], *, is_interrupted: bool = False
) -> None:
    """End arq's worker and close its queue, after the end of its jobs or with them if `is_interrupted`.

    It stops polling first, since an interrupted job is due again at once. The polling task is
    cancelled until it has ended: Python 3.11 loses some cancellations (imagegen/periodic.py).

    Raises:
        TimeoutError: a job did not end.
    """
    while not polling_task.done():
        polling_task.cancel()
        await asyncio.wait({polling_task}, timeout=0.2)
    if is_interrupted:
        for job in worker.tasks.values():
            job.cancel()
    if worker.tasks:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait(worker.tasks.values())
    # One that was interrupted in a step of arq's own would cancel arq's close.
    worker.tasks = {id_: job for id_, job in worker.tasks.items() if not job.cancelled()}
    await worker.close()
    with suppress(asyncio.CancelledError):
        polling_task.result()
