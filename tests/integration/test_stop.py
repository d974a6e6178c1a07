"""The stop: what it cancels, what it lets end, and what it insists on."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from arq.worker import Worker, func
from redis.asyncio.connection import parse_url

from chatflow_hook import wire
from chatflow_hook.settings import RedisPlace
from imagegen import broker
from imagegen.stop import Stop

PATIENCE_S = 5.0


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the signals back, also to those who handle them without a loop."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def polls_deaf_once(stop: Stop, ready: asyncio.Event) -> None:
    stop.listen()
    ready.set()
    for wait in (asyncio.Event(), asyncio.Event()):
        try:
            await wait.wait()
        except asyncio.CancelledError:
            ready.clear()
            continue


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_poll_that_loses_its_cancellation_is_cancelled_again(
    number: signal.Signals,
) -> None:
    ready = asyncio.Event()
    polling = asyncio.create_task(polls_deaf_once(Stop(), ready))
    await ready.wait()

    os.kill(os.getpid(), number)

    async with asyncio.timeout(PATIENCE_S):
        await polling


async def test_a_running_job_is_cancelled_and_one_that_comes_later_does_not_begin() -> None:
    stop, ready, begun = Stop(), asyncio.Event(), asyncio.Event()

    async def job(_: dict[Any, Any], *_arguments: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    polling = asyncio.create_task(polls_deaf_once(stop, ready))
    running = asyncio.ensure_future(stop.reaching(job)({}))
    await ready.wait()
    await begun.wait()
    begun.clear()

    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(asyncio.CancelledError):
        await stop.reaching(job)({})
    assert not begun.is_set()
    await polling


async def test_a_job_that_is_putting_itself_away_is_left_alone(redis_url: str) -> None:
    stop, at_its_end, may_end = Stop(), asyncio.Event(), asyncio.Event()
    place = RedisPlace(arguments=dict(parse_url(redis_url)))

    async def job(_: dict[Any, Any]) -> str:
        return "done"

    async def listen(_: dict[Any, Any]) -> None:
        stop.listen()

    async def linger(_: dict[Any, Any]) -> None:
        at_its_end.set()
        await may_end.wait()

    worker = Worker(
        functions=[func(stop.reaching(job), name="job")],
        redis_pool=broker.queue(place, db=3),
        job_serializer=wire.dumps,
        job_deserializer=wire.loads,
        on_startup=listen,
        on_job_end=linger,
        poll_delay=0.01,
        keep_result=0,
    )
    polling = asyncio.create_task(worker.async_run())
    async with broker.queue(place, db=3) as queue, asyncio.timeout(PATIENCE_S):
        await queue.enqueue_job("job")
        await at_its_end.wait()

        os.kill(os.getpid(), signal.SIGTERM)

        await asyncio.wait({polling})
        may_end.set()
        await worker.close()
        assert polling.cancelled()
        assert await queue.keys("*") == []
