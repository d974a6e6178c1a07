"""Shared slots while Redis is away: each worker counts alone, until Redis is back."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.integration.pool.test_shared_slots import (
    leases,
    soon_taken_by,
    taken_by,
    there_are,
    until,
)
from tests.support.pool_callers import Clock
from tests.support.slot_taker import HOST, SLOTS, redis_at

SHORT_S = 0.3


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with redis_at(valkey.url) as redis:
        yield redis


def stop(valkey: ValkeyServer) -> Callable[[], None]:
    valkey.stop()
    return valkey.start


def crash(valkey: ValkeyServer) -> Callable[[], None]:
    valkey.kill()
    return valkey.start


def freeze(valkey: ValkeyServer) -> Callable[[], None]:
    valkey.freeze()
    return valkey.thaw


@pytest.fixture(params=[stop, crash, freeze])
def break_down(request: pytest.FixtureRequest) -> Callable[[ValkeyServer], Callable[[], None]]:
    way: Callable[[ValkeyServer], Callable[[], None]] = request.param
    return way


async def test_a_worker_goes_on_alone_and_says_so_once(
    redis: Redis, valkey: ValkeyServer, break_down: Callable[[ValkeyServer], Callable[[], None]]
) -> None:
    clock = Clock()
    worker, other = RedisSlotRegistry(redis, clock=clock), RedisSlotRegistry(redis)
    await taken_by(other)
    with capture_logs() as logs:
        mend = break_down(valkey)

        await taken_by(worker)
        clock.now += 5
        await taken_by(worker, 1)

        mend()
        clock.now += 5
        assert await worker.take(HOST, SLOTS) is None
    assert worker.overcommitted == 3
    assert [line["event"] for line in logs if line["event"].startswith("slots")] == [
        "slots are not shared: redis is away",
        "slots are shared again",
    ]


async def test_slots_outlive_an_outage(
    redis: Redis, valkey: ValkeyServer, break_down: Callable[[ValkeyServer], Callable[[], None]]
) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=SHORT_S), RedisSlotRegistry(redis)
    async with worker.renewed():
        await taken_by(worker)
        mend = break_down(valkey)

        mend()
        await there_are(redis, SLOTS)

        assert await other.take(HOST, SLOTS) is None
    assert worker.overcommitted == 0


async def test_a_slot_lent_in_an_outage_has_a_lease_after_it(
    redis: Redis, valkey: ValkeyServer
) -> None:
    clock = Clock()
    worker = RedisSlotRegistry(redis, lease_s=SHORT_S, clock=clock)
    valkey.stop()
    slots = await taken_by(worker)

    valkey.start()
    clock.now += 5
    async with worker.renewed():
        await there_are(redis, SLOTS)
        for slot in slots:
            slot.release()

    assert (await leases(redis), worker.overcommitted) == ([], SLOTS)


async def test_a_slot_given_back_in_an_outage_comes_free_after_its_lease(
    redis: Redis, valkey: ValkeyServer
) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=SHORT_S), RedisSlotRegistry(redis)
    async with worker.renewed():
        slots = await taken_by(worker)
        valkey.freeze()
        for slot in slots:
            slot.release()
        assert worker.held == 0

    valkey.thaw()

    for _ in range(SLOTS):
        await soon_taken_by(other)


async def test_a_lease_that_ran_out_meanwhile_and_is_another_s_now_is_counted(
    redis: Redis, valkey: ValkeyServer
) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=SHORT_S), RedisSlotRegistry(redis)
    await taken_by(worker)
    valkey.restart()
    await until(redis.ping)
    for _ in range(SLOTS):
        await soon_taken_by(other)

    async def is_counted() -> bool:
        return worker.overcommitted == SLOTS

    async with worker.renewed():
        await until(is_counted)
