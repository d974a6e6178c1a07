"""Graceful shutdown of one job: a job that waits goes back to the queue, one that works goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from imagegen.queue import shutdown
from imagegen.queue.shutdown import JobStop, WorkerStops


async def begun(work: Callable[[JobStop], Awaitable[str]]) -> tuple["asyncio.Task[str]", JobStop]:
    """Run a job up to its first wait."""
    found: asyncio.Future[JobStop] = asyncio.get_running_loop().create_future()

    async def job() -> str:
        task = asyncio.current_task()
        assert task is not None
        found.set_result(JobStop(task))
        return await work(found.result())

    task = asyncio.create_task(job())
    return task, await found


async def waits(_: JobStop) -> str:
    with shutdown.waiting():
        await asyncio.Event().wait()
    return "waited"


async def test_a_job_that_waits_is_sent_back_as_one_that_costs_nothing() -> None:
    task, stop = await begun(waits)

    stop.stop_waiting()

    with pytest.raises(WorkerStops) as raised:
        await task
    assert (raised.value.retry_after_s, raised.value.costs_an_attempt) == (0.0, False)
    assert task.cancelling() == 0


async def test_a_job_that_begins_to_wait_after_the_call_is_sent_back_then() -> None:
    async def waits_later(_: JobStop) -> str:
        await asyncio.sleep(0)
        return await waits(_)

    task, stop = await begun(waits_later)

    stop.stop_waiting()

    with pytest.raises(WorkerStops):
        await task


async def test_a_job_that_works_goes_on() -> None:
    async def works(_: JobStop) -> str:
        await asyncio.sleep(0)
        return "done"

    task, stop = await begun(works)

    stop.stop_waiting()

    assert await task == "done"


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    task, _ = await begun(waits)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_the_call_wins() -> None:
    task, stop = await begun(waits)

    stop.stop_waiting()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_inside_of_the_wait_is_still_a_limit() -> None:
    async def waits_a_while(_: JobStop) -> str:
        try:
            with shutdown.waiting():
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
        except TimeoutError:
            return "too long"
        return "waited"

    task, _ = await begun(waits_a_while)

    assert await task == "too long"


async def test_a_call_that_a_library_swallowed_counts_all_the_same() -> None:
    async def swallows(_: JobStop) -> str:
        with shutdown.waiting(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "not heard"

    task, stop = await begun(swallows)

    stop.stop_waiting()

    with pytest.raises(WorkerStops):
        await task
    assert task.cancelling() == 0


async def test_what_runs_outside_of_a_worker_waits_undisturbed() -> None:
    with shutdown.waiting():
        await asyncio.sleep(0)
