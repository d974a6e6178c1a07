"""What workers publish, read from a Redis that holds much else."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from imagegen.monitoring import published_values


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, db=4) as client:
        yield client


async def test_a_few_questions_find_them_among_thousands_of_other_keys(redis: Redis) -> None:
    await redis.mset({f"imagegen:other:{number}": "x" for number in range(5000)})
    await redis.mset({"imagegen:tested:1": "one", "imagegen:tested:2": "two"})
    before = await scans(redis)

    values = await published_values.read_values(redis, "imagegen:tested:")

    assert sorted(values) == [b"one", b"two"]
    assert await scans(redis) - before < 20


async def scans(redis: Redis) -> int:
    """Return how often this Redis was asked for a piece of its keys."""
    statistics = await redis.info("commandstats")
    return int(statistics.get("cmdstat_scan", {"calls": 0})["calls"])
