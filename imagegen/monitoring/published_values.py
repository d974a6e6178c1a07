"""What each worker publishes in Redis: a value under a key of its own, kept for seconds."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic

KEPT_S = 10
_PUBLISH_EVERY_S = 2.0


@asynccontextmanager
async def publishing(
    redis: Redis, values: Mapping[str, Callable[[], str]], *, name: str
) -> AsyncIterator[None]:
    """Publish what each of `values` returns every 2 s while the block runs; erase it at the end.

    They are given by what their keys begin with; the rest of a key is random. A value expires 10 s
    after it was published last. All go in one message. `name` is that of the task.
    """
    suffix = secrets.token_hex(8)

    async def publish() -> None:
        # While Redis is away nothing is published; the next step tries again.
        with suppress(RedisError, OSError):
            async with redis.pipeline(transaction=False) as pipe:
                for prefix, value in values.items():
                    pipe.set(prefix + suffix, value(), ex=KEPT_S)
                await pipe.execute()

    try:
        async with periodic.every(_PUBLISH_EVERY_S, publish, name=name):
            yield
    finally:
        with suppress(RedisError, OSError):
            await redis.delete(*(prefix + suffix for prefix in values))


async def read_values(redis: Redis, prefix: str) -> Sequence[bytes]:
    """Return what all workers publish under keys that begin with `prefix`.

    Raises:
        RedisError: Redis cannot be used.
    """
    # All keys of the database are gone through; without a count ten at a time.
    keys = [key async for key in redis.scan_iter(match=f"{prefix}*", count=1000)]
    values = await redis.mget(keys) if keys else []
    # A key that has expired since the scan has no value.
    return [value for value in values if value]
