"""Two pools, as in two workers, on the same hosts and with one Redis."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.pool.pool import Pool
from imagegen.pool.shared_slots import RedisSlotRegistry
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import SlotCaller, needs
from tests.support.prompt_execution import LIMITS
from tests.support.slot_taker import redis_at

A, B = "a:8188", "b:8188"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_at(redis_url) as redis:
        yield redis


async def test_two_workers_together_have_no_more_than_the_slots_of_a_host(redis: Redis) -> None:
    one, two = RedisSlotRegistry(redis), RedisSlotRegistry(redis)
    async with one.renewed(), two.renewed():
        first, second = _pool(one, A), _pool(two, A)
        mine = [SlotCaller(first).start() for _ in range(2)]
        await _all_lent(mine)
        theirs = SlotCaller(second).start()
        async with asyncio.timeout(PATIENCE_S):
            while second.taken or not second.waiting:  # noqa: ASYNC110 (only its counts show it)
                await asyncio.sleep(0.001)

        await mine[0].end()
        await _all_lent([theirs])

        assert (first.taken, second.taken) == (1, 1)
        await _end([mine[1], theirs])
    assert one.overcommitted == two.overcommitted == 0


async def test_a_worker_goes_to_the_host_that_the_others_leave(redis: Redis) -> None:
    one, two = RedisSlotRegistry(redis), RedisSlotRegistry(redis)
    async with one.renewed(), two.renewed():
        mine = [SlotCaller(_pool(one, A)).start()]
        theirs = [SlotCaller(_pool(two, A, B)).start() for _ in range(3)]
        await _all_lent(mine)

        await _all_lent(theirs)

        assert sum(job.host == A for job in [*mine, *theirs]) <= 2
        await _end([*mine, *theirs])


async def test_many_random_jobs_of_two_workers_never_exceed_the_slots(redis: Redis) -> None:
    one, two = RedisSlotRegistry(redis), RedisSlotRegistry(redis)
    drawing: dict[str, int] = {A: 0, B: 0}
    most: list[int] = []

    async def job(pool: Pool) -> None:
        async with pool.lease(needs("ash")) as lease:
            drawing[lease.host.name] += 1
            most.append(max(drawing.values()))
            await asyncio.sleep(0.002)
            drawing[lease.host.name] -= 1

    async with one.renewed(), two.renewed():
        pools = [_pool(one, A, B), _pool(two, A, B)]
        async with asyncio.timeout(2 * PATIENCE_S):
            await asyncio.gather(*(job(pools[number % 2]) for number in range(60)))

    assert max(most) == 2
    assert [pool.taken for pool in pools] == [0, 0]


def _pool(shared: RedisSlotRegistry, *names: str) -> Pool:
    clients = [HostClient(HostAddress.parse(name), limits=LIMITS) for name in names]
    return Pool(clients, clock=time.monotonic, shared=shared)


async def _all_lent(jobs: list[SlotCaller]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for job in jobs:
            await job.lent.wait()


async def _end(jobs: list[SlotCaller]) -> None:
    for job in jobs:
        await job.end()
