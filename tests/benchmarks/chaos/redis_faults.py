"""Redis that loses what it holds, or refuses to write."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from chatflow_hook.queue import QUEUE

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
    task = asyncio.create_task(_lose_keys(url, random.Random(seed)), name="keys lost")
    yield
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        await task  # raises what has ended it


async def _lose_keys(url: str, chance: random.Random) -> None:
    async with _open(url, _DBS[0]) as queue, _open(url, _DBS[1]) as results:
        while True:
            if chance.random() < 0.3:
                await queue.zpopmin(QUEUE)
            else:
                redis = chance.choice((queue, results))
                if (key := await redis.randomkey()) is not None:
                    await redis.delete(key)
            await asyncio.sleep(chance.uniform(*_LOSE_EVERY_S))


def _open(url: str, db: int) -> Redis:
    redis: Redis = Redis.from_url(url, db=db, socket_timeout=10)
    return redis
