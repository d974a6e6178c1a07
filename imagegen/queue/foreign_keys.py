"""Warns of another program's keys in the Redis database of the queue."""

from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

_OURS = (b"arq:", b"imagegen:")
_OF_CELERY = (b"_kombu.", b"unacked", b"celery", b"image_generation")
# Keys; enough to find a neighbour without reading a large database.
_MOST = 10_000


async def warn_of_foreign_keys(redis: Redis, *, db: int) -> None:
    """Log how many keys of other programs are in the database; nothing if Redis is away.

    Their names are not logged, since they may have ids of users in them.
    """
    keys: list[bytes] = []
    with suppress(RedisError, OSError):
        async for key in redis.scan_iter(count=1000):
            keys.append(key)
            if len(keys) >= _MOST:
                break
    foreign = [key for key in keys if not key.startswith(_OURS)]
    if not foreign:
        return
    of_celery = sum(key.startswith(_OF_CELERY) for key in foreign)
    log.warning(
        "another program uses the queue's database",
        db=db,
        keys=len(foreign),
        of_celery=of_celery,
        advice="imagegen import-celery takes over its pictures; then empty the database"
        if of_celery
        else "give REDIS_BROKER_DB a database in which nothing else lives",
    )
