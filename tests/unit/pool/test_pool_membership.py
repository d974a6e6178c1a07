"""Hosts that join and leave a pool while callers wait for slots and hold them."""

import asyncio

from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import HostCapabilities, Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import DrawingFailed, NobodyCanDraw
from imagegen.db.tables import HostUse
from imagegen.pool.pool import Pool
from tests.support.pool_callers import (
    FakeSlotRegistry,
    SlotCaller,
    jobs_of,
    pool_of,
    run_ready_tasks,
    silence,
)
from tests.support.prompt_execution import LIMITS

A, B = "a:8188", "b:8188"
PLAIN = HostCapabilities(classes=frozenset({"Plain"}), names={})
MAGIC = Requirements(model_set="magic", classes=frozenset({"Magic"}))


def client(name: str) -> HostClient:
    return HostClient(HostAddress.parse(name), limits=LIMITS)


async def test_a_host_that_joins_takes_those_who_wait() -> None:
    pool = pool_of(A)
    jobs = await jobs_of(pool, 3)

    await pool.add({client(B): HostUse.ACTIVE})
    await run_ready_tasks()

    assert [job.host for job in jobs] == [A, A, B]
    assert pool.slots == 4


async def test_a_pool_without_a_host_lets_callers_wait_for_the_first() -> None:
    pool = pool_of()
    [job] = await jobs_of(pool, 1)
    assert not job.task.done()

    await pool.add({client(A): HostUse.ACTIVE})
    await run_ready_tasks()

    assert job.host == A


async def test_a_cap_stays_when_hosts_join() -> None:
    pool = pool_of(A, most=3)

    await pool.add({client(B): HostUse.ACTIVE})

    assert pool.slots == 3


async def test_a_drained_host_ends_what_it_has_and_gets_nothing_new() -> None:
    pool = pool_of(A, B)
    first, _ = await jobs_of(pool, 2)
    pool.set_use(A, HostUse.DRAINING)

    jobs = await jobs_of(pool, 2)

    assert [job.host for job in jobs] == [B, None]
    await first.end()
    assert [status.taken for status in pool.status()] == [0, 2]


async def test_a_host_that_is_used_again_takes_those_who_wait() -> None:
    pool = pool_of(A)
    pool.set_use(A, HostUse.DRAINING)
    [job] = await jobs_of(pool, 1)
    assert job.host is None

    pool.set_use(A, HostUse.ACTIVE)
    await run_ready_tasks()

    assert job.host == A


async def test_a_host_that_joins_drained_gets_nothing_new() -> None:
    pool = pool_of()
    [job] = await jobs_of(pool, 1)

    await pool.add({client(A): HostUse.DRAINING})
    await run_ready_tasks()

    assert job.host is None


async def test_a_prompt_that_was_left_on_a_drained_host_is_taken_up() -> None:
    pool = pool_of(A, B)
    pool.set_use(A, HostUse.REMOVED)

    job = SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()

    assert (job.host, job.is_resumption) == (A, True)


async def test_a_prompt_on_a_host_that_was_given_up_is_drawn_elsewhere() -> None:
    pool = pool_of(A, B)
    running = SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()
    pool.set_use(A, HostUse.REMOVED, gives_up=True)

    job = SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()

    assert (running.host, job.host, job.is_resumption) == (A, B, False)


async def test_a_caller_that_waits_for_its_prompt_goes_elsewhere_once_the_host_is_gone() -> None:
    pool = pool_of(A)
    silence(pool, A)
    job = SlotCaller(pool, left_on=A).start()
    await run_ready_tasks()
    assert pool.waiting == 1
    pool.set_use(A, HostUse.REMOVED, gives_up=True)
    assert await pool.remove(A)

    await pool.add({client(B): HostUse.ACTIVE})
    await run_ready_tasks()

    assert (job.host, job.is_resumption) == (B, False)


async def test_a_host_with_a_lent_slot_is_not_removed() -> None:
    pool = pool_of(A)
    [job] = await jobs_of(pool, 1)

    assert not await pool.remove(A)
    await job.end()
    assert await pool.remove(A)
    assert pool.status() == ()
    assert pool.client(A) is None


async def test_a_drained_host_may_be_back_but_a_removed_one_draws_no_more() -> None:
    pool = pool_of(A, B)
    pool._hosts[B].set_capabilities(PLAIN, now=0.0)
    pool.set_use(A, HostUse.DRAINING)
    job = SlotCaller(pool, wants=MAGIC).start()
    await run_ready_tasks()
    assert not job.task.done()

    pool.set_use(A, HostUse.REMOVED)
    await asyncio.wait([job.task])

    assert isinstance(job.task.exception(), NobodyCanDraw)


async def test_a_host_that_is_drained_while_its_shared_slot_is_asked_for_gets_no_prompt() -> None:
    shared = FakeSlotRegistry(turns=3)
    pool = pool_of(A, B, shared=shared)
    job = SlotCaller(pool).start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shared.asked == [A]

    pool.set_use(A, HostUse.DRAINING)
    await shared.settled()
    await run_ready_tasks()

    assert job.host == B
    assert shared.ours == {B: 1}


async def test_a_thousand_hosts_that_came_and_went_leave_nothing_behind() -> None:
    pool: Pool = pool_of(A)
    for number in range(1000):
        name = f"10.0.{number // 250}.{number % 250 + 1}:8188"
        await pool.add({client(name): HostUse.ACTIVE})
        pool.set_use(A, HostUse.DRAINING)
        [job] = await jobs_of(pool, 1)
        await job.end(DrawingFailed("node 3 raised"))
        pool.set_use(A, HostUse.ACTIVE)
        assert job.host == name
        assert await pool.remove(name)

    streaks = pool._tracker._streaks
    assert list(pool._hosts) == [A]
    assert (dict(streaks._failures), streaks._failed_on["ash"]) == ({}, set())
