"""Graceful shutdown: which jobs go back to the queue, which may end, and how polling is ended."""

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.worker import Worker, func
from redis.asyncio.connection import parse_url

from chatflow_hook.queue import QUEUE, dumps, loads
from chatflow_hook.settings import RedisPlace
from imagegen.queue import connections, shutdown
from imagegen.queue.job_queue import JobQueue
from imagegen.queue.shutdown import GracefulShutdown, WorkerStops
from tests.support.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the signal handlers of the test process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def queue(redis_url: str) -> JobQueue:
    return connections.job_queue(RedisPlace(arguments=dict(parse_url(redis_url))), db=3)


class Polling:
    """Polls as arq does; it loses its first cancellation, as Python 3.11 may."""

    def __init__(self, queue: JobQueue, stop: GracefulShutdown) -> None:
        self._queue = queue
        self._stop = stop
        self._cancellations = 0
        self._begun = asyncio.Event()

    async def begun(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._poll())
        await self._begun.wait()
        return task

    async def _poll(self) -> None:
        self._stop.listen_for_signals()
        self._stop.attach_to_arq()
        self._begun.set()
        while True:
            try:
                await self._queue.zrangebyscore("a queue", 0, 1)
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                self._cancellations += 1
                if self._cancellations == 2:
                    return


async def works(ctx: dict[Any, Any], *_: Any) -> None:  # noqa: ARG001 (arq's name)
    await asyncio.Event().wait()


async def waits(ctx: dict[Any, Any], *_: Any) -> None:  # noqa: ARG001 (arq's name)
    with shutdown.waiting():
        await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_poll_that_loses_its_cancellation_is_cancelled_again(
    queue: JobQueue, number: signal.Signals
) -> None:
    polling = await Polling(queue, GracefulShutdown(queue, grace_s=PATIENCE_S)).begun()

    os.kill(os.getpid(), number)

    async with asyncio.timeout(PATIENCE_S), queue:
        await polling


async def test_who_waits_goes_back_at_once_and_who_works_when_the_grace_is_over(
    queue: JobQueue,
) -> None:
    stop = GracefulShutdown(queue, grace_s=0.1)
    polling = await Polling(queue, stop).begun()
    waiting = asyncio.ensure_future(stop.wrap(waits)({}))
    working = asyncio.ensure_future(stop.wrap(works)({}))
    await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(PATIENCE_S), queue:
        with pytest.raises(WorkerStops):
            await waiting
        assert not working.done()
        with pytest.raises(asyncio.CancelledError):
            await working
        await polling


async def test_a_job_that_is_picked_up_after_the_signal_does_not_begin(queue: JobQueue) -> None:
    stop, begun = GracefulShutdown(queue, grace_s=PATIENCE_S), asyncio.Event()

    async def job(ctx: dict[Any, Any], *_: Any) -> None:  # noqa: ARG001 (arq's name)
        begun.set()

    polling = await Polling(queue, stop).begun()

    os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(PATIENCE_S), queue:
        await polling
        with pytest.raises(asyncio.CancelledError):
            await stop.wrap(job)({})
    assert not begun.is_set()


async def test_a_second_signal_ends_the_grace(queue: JobQueue) -> None:
    stop = GracefulShutdown(queue, grace_s=3600)
    polling = await Polling(queue, stop).begun()
    working = asyncio.ensure_future(stop.wrap(works)({}))

    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.01)
    assert not working.done()
    os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(PATIENCE_S), queue:
        with pytest.raises(asyncio.CancelledError):
            await working
        await polling


async def test_a_job_that_is_putting_itself_away_is_left_alone(queue: JobQueue) -> None:
    stop, is_ending, may_end = (
        GracefulShutdown(queue, grace_s=0.0),
        asyncio.Event(),
        asyncio.Event(),
    )

    async def job(ctx: dict[Any, Any], *_: Any) -> str:  # noqa: ARG001 (arq's name)
        return "done"

    async def listen(ctx: dict[Any, Any]) -> None:  # noqa: ARG001 (arq's name)
        stop.listen_for_signals()
        stop.attach_to_arq()

    async def linger(ctx: dict[Any, Any]) -> None:  # noqa: ARG001 (arq's name)
        is_ending.set()
        await may_end.wait()

    worker = Worker(
        functions=[func(stop.wrap(job), name="job")],
        redis_pool=queue,
        job_serializer=dumps,
        job_deserializer=loads,
        handle_signals=False,
        on_startup=listen,
        on_job_end=linger,
        poll_delay=0.01,
        keep_result=0,
    )
    polling = asyncio.create_task(worker.async_run())
    place = RedisPlace(arguments=queue.connection_pool.connection_kwargs)
    async with connections.job_queue(place, db=3) as other, asyncio.timeout(PATIENCE_S):
        await other.enqueue_job("job")
        await is_ending.wait()

        os.kill(os.getpid(), signal.SIGTERM)

        await queue.polled_after_stop.wait()
        assert not polling.done()
        may_end.set()
        await asyncio.wait({polling})
        await worker.close()
        assert polling.cancelled()
        assert await other.keys("*") == []


async def test_a_job_is_not_handed_out_any_more_once_the_queue_is_shut(queue: JobQueue) -> None:
    async with queue:
        # Due for a second: what is due by this clock may not yet be by that of Redis.
        due_since = datetime.now(UTC) - timedelta(seconds=1)
        await queue.enqueue_job("job", _job_id="one", _defer_until=due_since)
        before = await queue.zrangebyscore(QUEUE, float("-inf"), float("inf"))

        queue.stop_dispatching()
        after = await queue.zrangebyscore(QUEUE, float("-inf"), float("inf"))

    assert (before, after) == ([b"one"], [])
