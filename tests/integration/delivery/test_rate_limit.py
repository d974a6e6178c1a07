"""Flood waits that workers share by Redis, whose clock may be set back."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from chatflow_hook.queue import flood_wait_key
from imagegen.delivery.rate_limit import FloodControl

ANNA = 1001
PRIVATE_CHATS = (1, 2, 3)
AN_HOUR_MS = 3_600_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, db=4) as client:
        yield client


async def set_clock_back(redis: Redis, *, milliseconds: int) -> None:
    """Let the pause of a chat last longer by so much, as it does if Redis' clock is set back."""
    key = flood_wait_key(str(ANNA))
    await redis.pexpire(key, await redis.pttl(key) + milliseconds)


async def test_no_worker_waits_for_longer_than_telegram_has_asked(redis: Redis) -> None:
    await FloodControl(redis).pause(ANNA, 60)

    await set_clock_back(redis, milliseconds=AN_HOUR_MS)

    assert 59 < await FloodControl(redis).wait_s(ANNA) <= 60


async def test_a_pause_that_a_worker_has_seen_ends_by_its_own_clock(redis: Redis) -> None:
    now = 100.0
    flood_control, other = (FloodControl(redis, clock=lambda: now) for _ in range(2))
    await other.pause(ANNA, 60)
    before = await flood_control.wait_s(ANNA)
    await set_clock_back(redis, milliseconds=AN_HOUR_MS)
    now += 61

    after = await flood_control.wait_s(ANNA)
    await other.pause(ANNA, 30)
    anew = await flood_control.wait_s(ANNA)

    assert 59 < before <= 60
    assert after == 0
    assert 29 < anew <= 30


async def test_a_shorter_pause_of_another_worker_leaves_a_longer_one_as_it_is(redis: Redis) -> None:
    await FloodControl(redis).pause(ANNA, 60)

    await FloodControl(redis).pause(ANNA, 5)

    assert 59 < await FloodControl(redis).wait_s(ANNA) <= 60


async def test_a_short_pause_of_one_more_chat_does_not_shorten_that_of_all(redis: Redis) -> None:
    flood_control = FloodControl(redis)
    for chat_id in PRIVATE_CHATS:
        await flood_control.pause(chat_id, 60)

    await flood_control.pause(4, 3)

    assert 59 < await FloodControl(redis).wait_s(ANNA) <= 60


async def test_a_pause_that_an_older_version_wrote_is_observed(redis: Redis) -> None:
    await redis.set(flood_wait_key(str(ANNA)), "1", px=60_000)

    assert 59 < await FloodControl(redis).wait_s(ANNA) <= 60
