"""Slots lent and given back; no host is asked, and the test moves the clock."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import DrawingFailed, HostLost
from imagegen.comfy.pool import Pool
from tests.drawing import LIMITS

A, B = "a:8188", "b:8188"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class NoChance(random.Random):
    """Chance that makes every rest as short as it can be."""

    def random(self) -> float:
        return 0.0


@dataclass(eq=False)
class Job:
    """Somebody who asks for a slot, keeps it, and gives it back when told to."""

    pool: Pool
    model_set: str = "ash"
    host: str | None = None
    error: Exception | None = None
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> Self:
        self.task = asyncio.create_task(self._run(), name=f"job for {self.model_set}")
        return self

    async def _run(self) -> None:
        async with self.pool.lease(self.model_set) as client:
            self.host = client.name
            await self._done.wait()
            if self.error is not None:
                raise self.error

    async def end(self, error: Exception | None = None) -> None:
        self.error = error
        self._done.set()
        await asyncio.wait([self.task])
        await _ticks()
        if error is not None:
            assert self.task.exception() is error

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await _ticks()


async def test_a_host_lends_two_slots_and_the_third_waits() -> None:
    pool = _pool(A)
    first, _, third = await _jobs(pool, 3)

    assert (pool.taken, pool.waiting) == (2, 1)
    assert third.host is None
    await first.end()
    assert (pool.taken, pool.waiting) == (2, 0)
    assert third.host == A


async def test_jobs_are_spread_before_they_are_stacked() -> None:
    jobs = await _jobs(_pool(A, B), 4)

    assert [job.host for job in jobs[:2]] == [A, B]
    assert [job.host for job in jobs[2:]] == [A, B]


async def test_among_equals_the_host_that_has_the_models_comes_first() -> None:
    pool = _pool(A, B)
    await _draw(pool, "ash", "lina")

    lina, ash = await _jobs(pool, 2, "lina", "ash")

    assert (lina.host, ash.host) == (B, A)


async def test_having_the_models_does_not_come_before_being_free() -> None:
    pool = _pool(A, B)
    await _draw(pool, "ash", "lina")

    first, second = await _jobs(pool, 2, "ash", "ash")

    assert (first.host, second.host) == (A, B)


async def test_a_cap_counts_over_all_hosts() -> None:
    pool = _pool(A, B, most=3)

    await _jobs(pool, 6)

    assert (pool.taken, pool.waiting) == (3, 3)


async def test_who_came_first_is_served_first() -> None:
    pool = _pool(A, slots=1)
    jobs = await _jobs(pool, 5)

    served = []
    for job in jobs:
        served.append([other.host is not None for other in jobs].count(True))
        await job.end()

    assert served == [1, 2, 3, 4, 5]
    assert [job.host for job in jobs] == [A] * 5


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    pool = _pool(A, slots=1)
    first, second, third = await _jobs(pool, 3)

    await second.cancel()
    await first.end()

    assert second.host is None
    assert third.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_waiter_cancelled_in_the_very_tick_of_its_slot_loses_none() -> None:
    pool = _pool(A, slots=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.lease("ash"))
        waiter, next_one = await _jobs(pool, 2)
        # The slot goes to the waiter here, and no turn of the loop lies between.
        await stack.aclose()
        waiter.task.cancel()
    await _ticks()

    assert waiter.task.cancelled()
    assert waiter.host is None
    assert next_one.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_waiter_cancelled_just_before_its_slot_comes_takes_none() -> None:
    pool = _pool(A, slots=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.lease("ash"))
        waiter, next_one = await _jobs(pool, 2)
        waiter.task.cancel()
        await stack.aclose()
    await _ticks()

    assert waiter.host is None
    assert next_one.host == A
    assert (pool.taken, pool.waiting) == (1, 0)


async def test_a_cancelled_job_gives_its_slot_back() -> None:
    pool = _pool(A, slots=1)
    first, second = await _jobs(pool, 2)

    await first.cancel()

    assert second.host == A


async def test_a_lost_host_rests_and_others_draw() -> None:
    pool = _pool(A, B)
    first, second = await _jobs(pool, 2)
    await first.end(HostLost("a is away"))
    await second.end()

    jobs = await _jobs(pool, 3)

    assert [job.host for job in jobs] == [B, B, None]


async def test_a_host_that_has_rested_is_tried_with_one_job_and_is_the_last_choice() -> None:
    clock = Clock()
    pool = _pool(A, B, clock=clock)
    first, _ = await _jobs(pool, 2)
    await first.end(HostLost("a is away"))

    clock.now = 1
    jobs = await _jobs(pool, 4)

    assert [job.host for job in jobs] == [B, A, None, None]


async def test_a_host_that_answers_again_has_all_its_slots() -> None:
    clock = Clock()
    pool = _pool(A, clock=clock)
    [first] = await _jobs(pool, 1)
    await first.end(HostLost("a is away"))
    clock.now = 1
    [trial] = await _jobs(pool, 1)
    await trial.end()

    jobs = await _jobs(pool, 2)

    assert [job.host for job in jobs] == [A, A]


async def test_an_error_of_the_prompt_is_no_fault_of_the_host() -> None:
    pool = _pool(A)
    [first] = await _jobs(pool, 1)
    await first.end(DrawingFailed("node 3 raised"))

    jobs = await _jobs(pool, 2)

    assert [job.host for job in jobs] == [A, A]


async def test_no_waiter_starves_when_all_hosts_rest() -> None:
    clock = Clock()
    pool = _pool(A, B, clock=clock)
    for job in await _jobs(pool, 2):
        await job.end(HostLost("away"))
    # The alarm is set for what is left of the rest, by the clock of the pool.
    clock.now = 0.99
    first, second = await _jobs(pool, 2)
    assert (first.host, second.host) == (None, None)

    clock.now = 1
    async with asyncio.timeout(10):
        while pool.waiting:
            await asyncio.sleep(0)
    await _ticks()

    assert {first.host, second.host} == {A, B}


async def test_a_waiter_that_gives_up_while_all_hosts_rest_leaves_nothing_behind() -> None:
    pool = _pool(A)
    [job] = await _jobs(pool, 1)
    await job.end(HostLost("away"))
    [waiter] = await _jobs(pool, 1)

    await waiter.cancel()

    assert (pool.taken, pool.waiting) == (0, 0)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["ask", "ask", "end", "fail", "cancel", "swap", "rest"]),
            st.integers(0, 20),
        ),
        max_size=40,
    ),
    hosts=st.integers(1, 3),
    slots=st.integers(1, 2),
)
def test_no_slot_is_lost_and_none_is_lent_twice(
    steps: list[tuple[str, int]], hosts: int, slots: int
) -> None:
    asyncio.run(_play(steps, [f"h{number}:8188" for number in range(hosts)], slots))


async def _play(steps: list[tuple[str, int]], names: list[str], slots: int) -> None:
    clock = Clock()
    pool = _pool(*names, slots=slots, clock=clock)
    jobs: list[Job] = []
    for step, which in steps:
        await _step(pool, clock, jobs, step, which)
        _expect_no_more_than(slots, jobs)
    for job in jobs:
        await job.cancel()
    assert (pool.taken, pool.waiting) == (0, 0)
    await _expect_all_slots(pool, clock, len(names) * slots)


async def _expect_all_slots(pool: Pool, clock: Clock, every: int) -> None:
    clock.now += 100
    # Hosts that failed get one job each, and their other slots once it went well.
    for job in await _jobs(pool, every):
        await job.end() if job.host else await job.cancel()
    jobs = await _jobs(pool, every + 1)
    assert (pool.taken, pool.waiting) == (every, 1)
    for job in jobs:
        await job.cancel()


async def _step(pool: Pool, clock: Clock, jobs: list[Job], step: str, which: int) -> None:
    lent = [job for job in jobs if job.host and not job.task.done()]
    match step:
        case "ask":
            jobs += await _jobs(pool, 1, str(which % 3))
        case "end" if lent:
            await lent[which % len(lent)].end()
        case "fail" if lent:
            await lent[which % len(lent)].end(HostLost("away"))
        case "cancel" if jobs:
            await jobs[which % len(jobs)].cancel()
        case "swap" if jobs and lent:
            # Two things in one tick: a slot comes back and somebody gives up.
            lent[which % len(lent)].task.cancel()
            jobs[-1].task.cancel()
            await _ticks()
        case "rest":
            clock.now += which
        case _:
            pass


def _expect_no_more_than(slots: int, jobs: list[Job]) -> None:
    held = [job.host for job in jobs if job.host and not job.task.done()]
    for host in set(held):
        assert held.count(host) <= slots


def _pool(*names: str, slots: int = 2, most: int | None = None, clock: Clock | None = None) -> Pool:
    clients = [HostClient(HostAddress.parse(name), limits=LIMITS) for name in names]
    return Pool(clients, slots_per_host=slots, most=most, clock=clock or Clock(), chance=NoChance())


async def _jobs(pool: Pool, count: int, *model_sets: str) -> list[Job]:
    """Let so many ask, in order, and return when each has a slot or waits."""
    named = [*model_sets, *["ash"] * (count - len(model_sets))]
    jobs = [Job(pool, model_set).start() for model_set in named]
    await _ticks()
    return jobs


async def _draw(pool: Pool, *model_sets: str) -> None:
    """Draw these at the same time, so that each host has the models of one."""
    for job in await _jobs(pool, len(model_sets), *model_sets):
        await job.end()


async def _ticks() -> None:
    """Let everything happen that can without a clock."""
    for _ in range(5):
        await asyncio.sleep(0)
