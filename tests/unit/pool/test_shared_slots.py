"""A pool on hosts that other workers use too."""

import asyncio

import pytest

from imagegen.pool.pool import Pool
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import (
    FakeSlot,
    FakeSlotRegistry,
    SlotCaller,
    jobs_of,
    needs,
    pool_of,
    run_ready_tasks,
)

A, B = "a:8188", "b:8188"


async def test_a_slot_is_taken_from_all_workers_and_given_back_to_them() -> None:
    others = FakeSlotRegistry()
    [job] = await jobs_of(pool_of(A, shared=others), 1)

    assert others.ours == {A: 1}
    await job.end()
    assert others.ours == {}


async def test_what_others_fill_is_left_for_another_host() -> None:
    others = FakeSlotRegistry()
    others.theirs[A] = 2

    [job] = await jobs_of(pool_of(A, B, shared=others), 1)

    assert (job.host, others.asked) == (B, [A, B])


async def test_who_was_told_that_others_hold_the_slots_keeps_the_place() -> None:
    others = FakeSlotRegistry()
    others.theirs[A] = 2
    pool = pool_of(A, shared=others)
    first, second = await jobs_of(pool, 2)
    assert (pool.taken, pool.waiting) == (0, 2)

    others.others_hold(A, 1)
    async with asyncio.timeout(PATIENCE_S):
        await first.lent.wait()
    await run_ready_tasks()

    assert second.host is None


async def test_a_slot_that_others_hold_does_not_change_which_models_the_host_had_last() -> None:
    others = FakeSlotRegistry()
    pool = pool_of(A, shared=others)
    [drawn] = await jobs_of(pool, 1, "ash")
    await drawn.end()
    others.theirs[A] = 2

    [refused] = await jobs_of(pool, 1, "lina")

    assert refused.host is None
    assert [status.model_set for status in pool.status()] == ["ash"]


async def test_a_full_host_is_not_asked_for_each_waiter() -> None:
    others = FakeSlotRegistry()
    others.theirs[A] = 2

    await jobs_of(pool_of(A, shared=others), 20)

    assert others.asked == [A]


async def test_room_that_is_told_of_before_it_is_heard_that_there_was_none_is_used() -> None:
    others = FakeSlotRegistry(turns_back=20)
    others.theirs[A] = 2
    job = SlotCaller(pool_of(A, shared=others)).start()
    await told_of(others)

    others.others_hold(A, 1)

    async with asyncio.timeout(PATIENCE_S):
        await job.lent.wait()


async def test_room_that_is_told_of_before_the_last_slot_is_heard_of_is_used() -> None:
    others = FakeSlotRegistry()
    others.theirs[A] = 2
    pool = pool_of(A, shared=others)
    first, second = await jobs_of(pool, 2)
    others.turns_back = 200
    others.others_hold(A, 1)
    await told_of(others)
    await second.cancel()
    assert first.host is None

    others.others_hold(A, 0)
    async with asyncio.timeout(PATIENCE_S):
        await first.lent.wait()
        await SlotCaller(pool).start().lent.wait()


async def test_a_slot_that_this_worker_frees_is_asked_for_at_once() -> None:
    others = FakeSlotRegistry()
    others.theirs[A] = 1
    first, second = await jobs_of(pool_of(A, shared=others), 2)
    assert (first.host, second.host) == (A, None)

    await first.end()

    assert second.host == A


async def test_who_gives_up_while_the_others_are_asked_leaves_nothing_behind() -> None:
    others = FakeSlotRegistry(turns=50)
    pool = pool_of(A, slots=1, shared=others)
    first, second = await jobs_of(pool, 2)

    await first.cancel()
    others.turns = 0
    await run_ready_tasks()

    assert second.host is None  # it is asking, and has the slot that the first gave up
    assert (pool.taken, pool.waiting) == (1, 0)
    await second.cancel()
    assert (pool.taken, others.ours) == (0, {})


async def test_an_error_of_the_sharing_gives_the_slot_back() -> None:
    pool = pool_of(A, shared=Broken())

    with pytest.raises(RuntimeError, match="out of order"):
        await lent(pool)

    assert (pool.taken, pool.waiting) == (0, 0)


async def told_of(others: FakeSlotRegistry) -> None:
    """Wait until the registry has answered that no slot is left, which is not heard yet."""
    while not others.is_told_of(A):  # noqa: ASYNC110 (only its answer shows it)
        await asyncio.sleep(0)


class Broken(FakeSlotRegistry):
    async def take(
        self,
        host: str,
        slots: int,
        *,
        wants_more: bool = False,  # noqa: ARG002 (the protocol)
        is_in_use: bool = False,  # noqa: ARG002 (the protocol)
    ) -> FakeSlot | None:
        raise RuntimeError(f"the {slots} slots of {host} are out of order")


async def lent(pool: Pool) -> None:
    async with pool.lease(needs("ash")):
        pass
