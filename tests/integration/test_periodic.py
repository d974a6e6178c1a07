"""A side task ends with its block, whatever its step does."""

import asyncio

from redis.asyncio import Redis
from structlog.testing import capture_logs

from imagegen import periodic
from imagegen.errors import Unavailable
from tests.support.patience import PATIENCE_S


async def test_steps_are_taken_until_the_block_ends() -> None:
    steps = asyncio.Queue[int]()

    async def step() -> None:
        steps.put_nowait(1)

    async with periodic.every(0.001, step, name="test"):
        for _ in range(3):
            await steps.get()

    assert [task for task in asyncio.all_tasks() if task.get_name() == "test"] == []


async def test_a_step_that_may_wait_is_not_taken_at_once() -> None:
    steps = list[int]()

    async def step() -> None:
        steps.append(1)

    async with periodic.every(60, step, name="test", delay_s=60):
        await asyncio.sleep(0.01)

    assert steps == []


async def test_a_block_that_ends_before_its_first_step_has_no_task() -> None:
    async def step() -> None:
        raise AssertionError

    async with periodic.every(60, step, name="test", delay_s=60):
        await asyncio.sleep(0.01)
        tasks = [task.get_name() for task in asyncio.all_tasks()]

    assert "test" not in tasks


async def test_a_step_that_has_to_wait_says_why_in_one_line_and_is_taken_again() -> None:
    steps = asyncio.Queue[int]()

    async def step() -> None:
        steps.put_nowait(1)
        raise Unavailable("the bucket is away", code="store_unavailable")

    with capture_logs() as logged:
        async with periodic.every(0.001, step, name="test"):
            for _ in range(2):
                await steps.get()

    assert logged[0] == {
        "event": "a step waits",
        "task": "test",
        "code": "store_unavailable",
        "why": "the bucket is away",
        "log_level": "warning",
    }


async def test_a_step_that_swallows_its_cancellation_does_not_hold_up_the_block(
    redis_url: str,
) -> None:
    redis = Redis.from_url(redis_url, db=4, socket_timeout=1)

    async def step() -> None:
        await redis.set("key", "value", ex=5)

    async with asyncio.timeout(PATIENCE_S):
        for turns in range(300):  # Python 3.11 loses one cancellation in four here
            async with periodic.every(60, step, name="test"):
                for _ in range(turns % 12):
                    await asyncio.sleep(0)

    assert [task for task in asyncio.all_tasks() if task.get_name() == "test"] == []
    await redis.aclose()


async def test_a_step_that_is_waited_for_comes_only_when_it_is_due() -> None:
    due, steps = asyncio.Event(), asyncio.Queue[int]()

    async def step() -> None:
        steps.put_nowait(1)

    async with periodic.every(0.001, step, name="test", due=due):
        await asyncio.sleep(0.01)
        assert steps.empty()

        due.set()
        async with asyncio.timeout(PATIENCE_S):
            await steps.get()

        assert not due.is_set()
        await asyncio.sleep(0.01)
        assert steps.empty()


async def test_a_step_that_says_so_is_taken_again() -> None:
    due, steps = asyncio.Event(), asyncio.Queue[int]()
    due.set()

    async def step() -> bool:
        steps.put_nowait(1)
        return steps.qsize() < 3

    async with periodic.every(0.001, step, name="test", due=due):
        async with asyncio.timeout(PATIENCE_S):
            while steps.qsize() < 3:  # noqa: ASYNC110 (the queue is not to be emptied)
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    assert (steps.qsize(), due.is_set()) == (3, False)


async def test_a_step_that_was_due_and_has_failed_is_taken_again() -> None:
    due, steps = asyncio.Event(), asyncio.Queue[int]()
    due.set()

    async def step() -> None:
        steps.put_nowait(1)
        raise Unavailable("the database is away", code="database_unavailable")

    async with periodic.every(0.001, step, name="test", due=due):
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(2):
                await steps.get()
