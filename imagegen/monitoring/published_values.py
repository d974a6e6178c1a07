"""What each worker publishes in Redis: a value under a key of its own, kept for seconds."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic

KEPT_S = 10
_PUBLISH_EVERY_S = 2.0


@asynccontextmanager
async def publishing(
    redis: Redis, prefix: str, value: Callable[[], str], *, name: str
) -> AsyncIterator[None]:
    """Publish what `value` returns every 2 s while the block runs, and erase it at the end.

    `prefix` is what the key begins with; the rest is random. The value expires 10 s after it was
    published last. `name` is that of the task.
    """
    key = prefix + secrets.token_hex(8)

    async def publish() -> None:
        # While Redis is away nothing is published; the next step tries again.
        with suppress(RedisError, OSError):
            await redis.set(key, value(), ex=KEPT_S)

    try:
        async with periodic.every(_PUBLISH_EVERY_S, publish, name=name):
            yield
    finally:
        with suppress(RedisError, OSError):
            await redis.delete(key)


async def read_values(redis: Redis, prefix: str) -> Sequence[bytes]:
    """Return what all workers publish under keys that begin with `prefix`.

    Raises:
        RedisError: Redis cannot be used.
    """
    keys = [key async for key in redis.scan_iter(match=f"{prefix}*")]
    values = await redis.mget(keys) if keys else []
    # A key that has expired since the scan has no value.
    return [value for value in values if value]
