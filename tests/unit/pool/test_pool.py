"""The pool lends slots and takes them back."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from imagegen.comfy.errors import DrawingFailed, HostLost
from imagegen.pool.pool import Pool
from imagegen.pool.scheduler import QueuePlace
from tests.support.pool_callers import (
    Clock,
    SlotCaller,
    jobs_of,
    needs,
    pool_of,
    run_ready_tasks,
    silence,
)

A, B, C = "a:8188", "b:8188", "c:8188"


async def test_a_host_lends_two_slots_and_the_third_waits() -> None:
    pool = pool_of(A)
    first, _, third = await jobs_of(pool, 3)

    assert (pool.taken, pool.waiting) == (2, 1)
    assert third.host is None
    await first.end()
    assert (pool.taken, pool.waiting) == (2, 0)
    assert third.host == A


async def test_jobs_are_spread_before_they_are_stacked() -> None:
    jobs = await jobs_of(pool_of(A, B), 4)

    assert [job.host for job in jobs[:2]] == [A, B]
    assert [job.host for job in jobs[2:]] == [A, B]


async def test_among_equals_the_host_that_has_the_models_comes_first() -> None:
    pool = pool_of(A, B)
    await draw(pool, "ash", "lina")

    lina, ash = await jobs_of(pool, 2, "lina", "ash")

    assert (lina.host, ash.host) == (B, A)


async def test_having_the_models_does_not_come_before_being_free() -> None:
    pool = pool_of(A, B)
    await draw(pool, "ash", "lina")

    first, second = await jobs_of(pool, 2, "ash", "ash")

    assert (first.host, second.host) == (A, B)


async def test_a_cap_counts_over_all_hosts() -> None:
    pool = pool_of(A, B, most=3)

    await jobs_of(pool, 6)

    assert (pool.taken, pool.waiting) == (3, 3)


async def test_who_came_first_is_served_first() -> None:
    pool = pool_of(A, slots=1)
    jobs = await jobs_of(pool, 5)

    served = []
    for job in jobs:
        served.append([other.host is not None for other in jobs].count(True))
        await job.end()

    assert served == [1, 2, 3, 4, 5]
    assert [job.host for job in jobs] == [A] * 5


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    pool = pool_of(A, slots=1)
    first, second, third = await jobs_of(pool, 3)

    await second.cancel()
    await first.end()

    assert second.host is None
    assert third.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_waiter_cancelled_in_the_very_tick_of_its_slot_loses_none() -> None:
    pool = pool_of(A, slots=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.lease(needs("ash")))
        waiter, next_one = await jobs_of(pool, 2)
        # The slot is granted here, and the event loop does not run before the cancellation.
        await stack.aclose()
        waiter.task.cancel()
    await run_ready_tasks()

    assert waiter.task.cancelled()
    assert waiter.host is None
    assert next_one.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_waiter_cancelled_just_before_its_slot_comes_takes_none() -> None:
    pool = pool_of(A, slots=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.lease(needs("ash")))
        waiter, next_one = await jobs_of(pool, 2)
        waiter.task.cancel()
        await stack.aclose()
    await run_ready_tasks()

    assert waiter.host is None
    assert next_one.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_cancelled_job_gives_its_slot_back() -> None:
    pool = pool_of(A, slots=1)
    first, second = await jobs_of(pool, 2)

    await first.cancel()

    assert second.host == A


async def test_a_lost_host_rests_and_others_draw() -> None:
    pool = pool_of(A, B)
    first, second = await jobs_of(pool, 2)
    await first.end(HostLost("a is away"))
    await second.end()

    jobs = await jobs_of(pool, 3)

    assert [job.host for job in jobs] == [B, B, None]


async def test_an_error_of_the_prompt_is_no_fault_of_the_host() -> None:
    pool = pool_of(A)
    [first] = await jobs_of(pool, 1)
    await first.end(DrawingFailed("node 3 raised"))

    jobs = await jobs_of(pool, 2)

    assert [job.host for job in jobs] == [A, A]


async def test_a_waiter_that_gives_up_while_all_hosts_rest_leaves_nothing_behind() -> None:
    pool = pool_of(A)
    [job] = await jobs_of(pool, 1)
    await job.end(HostLost("away"))
    [waiter] = await jobs_of(pool, 1)

    await waiter.cancel()

    assert (pool.taken, pool.waiting) == (0, 0)


async def test_a_host_that_just_failed_a_request_is_the_last_choice_for_it() -> None:
    pool = pool_of(A, B)

    first = SlotCaller(pool, avoid_host=A).start()
    second = SlotCaller(pool, avoid_host=A).start()
    await run_ready_tasks()

    assert [first.host, second.host] == [B, B]


@pytest.mark.parametrize("most", [None, 1])
async def test_a_prompt_that_is_on_a_host_already_is_taken_up_without_a_free_slot(
    most: int | None,
) -> None:
    pool = pool_of(A, slots=1, most=most)
    first, waiter = await jobs_of(pool, 2)
    left = SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()
    assert (left.host, left.is_resumption, pool.taken) == (A, True, 2)

    await first.end()
    assert waiter.host is None
    await left.end()

    assert waiter.host == A


async def test_a_prompt_on_a_host_that_the_pool_does_not_have_any_more_is_drawn_elsewhere() -> None:
    left = SlotCaller(pool_of(A), left_on="gone:8188").start()
    await run_ready_tasks()

    assert (left.host, left.is_resumption) == (A, False)


async def test_a_prompt_on_a_silent_host_is_drawn_elsewhere_or_taken_up_by_what_is_first() -> None:
    pool = pool_of(A, B, slots=1)
    first, second = await jobs_of(pool, 2)
    await first.end(HostLost("a is away"))
    left, also_left = SlotCaller(pool, left_on=A).start(), SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()
    assert (left.host, also_left.host) == (None, None)

    await second.end()
    assert (left.host, left.is_resumption) == (B, False)
    contact(pool, A)
    await run_ready_tasks()

    assert (also_left.host, also_left.is_resumption) == (A, True)


async def test_a_host_that_answers_is_lent_for_a_new_prompt_only_when_it_is_ready() -> None:
    pool = pool_of(A)
    [job] = await jobs_of(pool, 1)
    await job.end(HostLost("a is away"))
    [new] = await jobs_of(pool, 1)

    contact(pool, A)
    await run_ready_tasks()
    assert new.host is None
    answer(pool, A)
    await run_ready_tasks()

    assert new.host == A


async def test_after_our_own_outage_a_prompt_waits_until_its_host_was_asked_again() -> None:
    clock = Clock()
    pool = pool_of(A, B, clock=clock)
    silence(pool, A)
    silence(pool, B)
    left, also_left = SlotCaller(pool, left_on=A).start(), SlotCaller(pool, left_on=A).start()
    clock.now = 1.0

    answer(pool, B)
    await run_ready_tasks()
    assert (left.host, also_left.host) == (None, None)
    assert pool._hosts[A].health.rests_until <= clock.now
    silence(pool, A)
    await run_ready_tasks()

    assert (left.host, also_left.host) == (B, B)


async def test_after_our_own_outage_a_prompt_is_taken_up_where_it_is() -> None:
    clock = Clock()
    pool = pool_of(A, B, clock=clock)
    silence(pool, A)
    silence(pool, B)
    left = SlotCaller(pool, left_on=A).start()
    clock.now = 1.0

    answer(pool, B)
    answer(pool, A)
    await run_ready_tasks()

    assert (left.host, left.is_resumption) == (A, True)


async def test_a_faster_host_is_preferred_among_equals() -> None:
    pool = pool_of(A, B)
    for host, seconds in ((A, 9.0), (B, 1.0)):
        async with pool.lease(needs("x"), avoid_host=A if host == B else B) as lease:
            lease.record_drawing(seconds)

    [job] = await jobs_of(pool, 1, "new")

    assert job.host == B


async def test_what_a_change_of_models_costs_is_learned_from_other_hosts() -> None:
    pool = pool_of(A, B, C)
    await draw(pool, "ash", seconds=4.0)
    await draw(pool, "ash", seconds=1.0)
    await draw(pool, "ash", "lina", seconds=1.0)

    # A has drawn with and without a change of models; B only after a change, C never.
    first, second = await jobs_of(pool, 2, "lina", "lina")

    assert (first.host, second.host) == (B, B)


def contact(pool: Pool, name: str) -> None:
    pool._tracker.record_contact(pool._hosts[name])
    pool._scheduler.assign()


def answer(pool: Pool, name: str) -> None:
    pool._tracker.record_ready(pool._hosts[name])
    pool._scheduler.assign()


async def draw(pool: Pool, *model_sets: str, seconds: float | None = None) -> None:
    """Draw these at the same time, so that each of them loads its models on another host."""
    for job in await jobs_of(pool, len(model_sets), *model_sets):
        job.seconds = seconds
        await job.end()


async def test_a_waiter_knows_its_place_and_when_it_will_have_ended() -> None:
    clock = Clock()
    pool = pool_of(A, slots=1, clock=clock)
    async with pool.lease(needs("lina")) as lease:
        lease.record_drawing(10.0)
    first, second = UUID(int=1), UUID(int=2)

    async with AsyncExitStack() as stack:
        lease = await stack.enter_async_context(pool.lease(needs("lina")))
        waiting = [asyncio.create_task(enter(pool, request_id)) for request_id in (first, second)]
        await run_ready_tasks()
        clock.now += 4

        assert lease.expected_s == 10.0
        assert pool.place(first) == QueuePlace(number=1, ends_s=16.0)
        assert pool.place(second) == QueuePlace(number=2, ends_s=26.0)
        assert pool.place(UUID(int=3)) is None
        for task in waiting:
            task.cancel()


async def test_places_are_in_the_order_in_which_slots_are_lent() -> None:
    pool = pool_of(A, slots=1)
    automatic, asked = UUID(int=1), UUID(int=2)
    async with pool.lease(needs("lina")):
        waiting = [
            asyncio.create_task(enter(pool, automatic)),
            asyncio.create_task(enter(pool, asked, is_asked=True)),
        ]
        await run_ready_tasks()

        assert pool.place(asked) == QueuePlace(number=1, ends_s=None)
        assert pool.place(automatic) == QueuePlace(number=2, ends_s=None)
        for task in waiting:
            task.cancel()


async def test_without_a_drawing_nobody_knows_how_long_it_takes() -> None:
    pool = pool_of(A, slots=1)
    async with pool.lease(needs("lina")) as lease:
        task = asyncio.create_task(enter(pool, UUID(int=1)))
        await run_ready_tasks()

        assert lease.expected_s is None
        assert pool.place(UUID(int=1)) == QueuePlace(number=1, ends_s=None)
        task.cancel()


async def enter(pool: Pool, request_id: UUID, *, is_asked: bool = False) -> None:
    async with pool.lease(needs("lina"), request_id=request_id, is_asked=is_asked):
        pass
