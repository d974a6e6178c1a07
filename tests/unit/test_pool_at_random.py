"""Whatever happens in whatever order, the pool keeps count of its slots."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.comfy.errors import HostLost
from imagegen.comfy.pool import Pool
from tests.lending import Clock, Job, jobs_of, pool_of, ticks


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
    pool = pool_of(*names, slots=slots, clock=clock)
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
    for job in await jobs_of(pool, every):
        await job.end() if job.host else await job.cancel()
    jobs = await jobs_of(pool, every + 1)
    assert (pool.taken, pool.waiting) == (every, 1)
    for job in jobs:
        await job.cancel()


async def _step(pool: Pool, clock: Clock, jobs: list[Job], step: str, which: int) -> None:
    lent = [job for job in jobs if job.host and not job.task.done()]
    match step:
        case "ask":
            jobs += await jobs_of(pool, 1, str(which % 3))
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
            await ticks()
        case "rest":
            clock.now += which
        case _:
            pass


def _expect_no_more_than(slots: int, jobs: list[Job]) -> None:
    held = [job.host for job in jobs if job.host and not job.task.done()]
    for host in set(held):
        assert held.count(host) <= slots
