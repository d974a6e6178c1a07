"""Users take turns at the slots."""

from collections.abc import Sequence

from imagegen.pool.pool import Pool
from imagegen.pool.wait_queue import Waiter, WaitQueue
from tests.support.pool_callers import SlotCaller, needs, pool_of, run_ready_tasks

A = "a:8188"
ANN, BOB, CY = 1, 2, 3


async def test_somebody_with_many_requests_does_not_delay_somebody_with_one() -> None:
    pool = pool_of(A, slots=1)
    jobs = await _asked(pool, ANN, ANN, ANN, ANN, BOB)

    assert await _served(jobs) == [ANN, BOB, ANN, ANN, ANN]


async def test_those_with_many_requests_alternate() -> None:
    pool = pool_of(A, slots=1)
    jobs = await _asked(pool, ANN, ANN, ANN, BOB, BOB, CY)

    assert await _served(jobs) == [ANN, BOB, CY, ANN, BOB, ANN]


async def test_who_comes_later_joins_the_round_that_is_served() -> None:
    pool = pool_of(A, slots=1)
    early = await _asked(pool, ANN, ANN, ANN, ANN)
    first = await _served(early[:2])

    late = await _asked(pool, BOB)

    assert first == [ANN, ANN]
    assert await _served([*early[2:], *late]) == [ANN, BOB, ANN]


async def test_who_was_served_waits_for_its_next_turn() -> None:
    pool = pool_of(A, slots=1)
    first, second, bob = await _asked(pool, ANN, ANN, BOB)
    await _served([first, bob])

    again = await _asked(pool, ANN, CY)

    assert await _served([second, *again]) == [ANN, CY, ANN]


async def test_who_asked_is_served_before_automatic_pictures_and_users_still_take_turns() -> None:
    pool = pool_of(A, slots=1)
    automatic = await _asked(pool, CY, CY)
    asked = await _asked(pool, ANN, ANN, BOB, is_asked=True)

    assert await _served([*automatic, *asked]) == [CY, ANN, BOB, ANN, CY]


async def test_users_who_come_once_are_forgotten_after_a_thousand_others() -> None:
    queue = WaitQueue()
    for user in range(3000):
        waiter = Waiter(requirements=needs("ash"), user=user)
        queue.add(waiter)
        queue.served(waiter)

    assert queue.remembered == 1000


async def _asked(pool: Pool, *users: int, is_asked: bool = False) -> list[SlotCaller]:
    jobs = []
    for user in users:
        jobs.append(SlotCaller(pool, user=user, is_asked=is_asked).start())
        await run_ready_tasks()
    return jobs


async def _served(jobs: Sequence[SlotCaller]) -> list[int | None]:
    """End each job once it has the slot; return their users in that order."""
    order: list[int | None] = []
    waiting = list(jobs)
    while waiting:
        job = next(job for job in waiting if job.host is not None)
        order.append(job.user)
        waiting.remove(job)
        await job.end()
    return order
