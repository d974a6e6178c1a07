"""Redis that loses what it holds, or refuses to write."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from chatflow_hook.queue import QUEUE
from tests.benchmarks.chaos.bot import is_set_within

# The databases of the queue and of the live state.
_DBS = (3, 4)
_LOSE_EVERY_S = (0.02, 0.2)


@asynccontextmanager
async def flushed(url: str) -> AsyncIterator[None]:
    """Delete all keys before the block."""
    async with _open(url, 0) as redis:
        await redis.flushall()
    yield


@asynccontextmanager
async def refusing_writes(url: str) -> AsyncIterator[None]:
    """Refuse every write during the block, as with `maxmemory` reached and `noeviction`."""
    async with _open(url, 0) as redis:
        await redis.config_set("maxmemory", 1)
    yield
    async with _open(url, 0) as redis:
        await redis.config_set("maxmemory", 0)


@asynccontextmanager
async def losing_keys(url: str, seed: str) -> AsyncIterator[None]:
    """Delete keys and entries of the queue during the block, one at a time, at random."""
    # Told and not cancelled, since redis-py may lose a cancellation: see imagegen/periodic.py.
    is_over = asyncio.Event()
    task = asyncio.create_task(_lose_keys(url, random.Random(seed), is_over), name="keys lost")
    yield
    is_over.set()
    await task


async def _lose_keys(url: str, chance: random.Random, is_over: asyncio.Event) -> None:
    async with _open(url, _DBS[0]) as queue, _open(url, _DBS[1]) as results:
        while not await is_set_within(is_over, chance.uniform(*_LOSE_EVERY_S)):
            if chance.random() < 0.3:
                await queue.zpopmin(QUEUE)
            else:
                redis = chance.choice((queue, results))
                if (key := await redis.randomkey()) is not None:
                    await redis.delete(key)


def _open(url: str, db: int) -> Redis:
    redis: Redis = Redis.from_url(url, db=db, socket_timeout=10)
    return redis
