"""Warns of another program's keys in the Redis database of the queue."""

from contextlib import suppress
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

_OURS = (b"arq:", b"imagegen:")
_OF_CELERY = (b"_kombu.", b"unacked", b"celery", b"image_generation")
# Keys; enough to find a neighbour without reading a large database.
_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class ForeignKeys:
    """How many keys of other programs there are, and how many of them are Celery's.

    Their names are not kept, since they may have ids of users in them.
    """

    count: int
    of_celery: int

    @property
    def advice(self) -> str:
        """What an operator has to do."""
        if self.of_celery:
            return "imagegen import-celery takes over its pictures; then empty the database"
        return "give REDIS_BROKER_DB a database in which nothing else lives"


async def find_foreign_keys(redis: Redis) -> ForeignKeys | None:
    """Return what others have in this database; None if there is nothing.

    Raises:
        RedisError, OSError: Redis cannot be used.
    """
    keys: list[bytes] = []
    async for key in redis.scan_iter(count=1000):
        keys.append(key)
        if len(keys) >= _MOST:
            break
    foreign = [key for key in keys if not key.startswith(_OURS)]
    if not foreign:
        return None
    return ForeignKeys(
        count=len(foreign), of_celery=sum(key.startswith(_OF_CELERY) for key in foreign)
    )


async def warn_of_foreign_keys(redis: Redis, *, db: int) -> None:
    """Log how many keys of other programs are in the database; nothing if Redis is away."""
    with suppress(RedisError, OSError):
        found = await find_foreign_keys(redis)
        if found is not None:
            log.warning(
                "another program uses the queue's database",
                db=db,
                keys=found.count,
                of_celery=found.of_celery,
                advice=found.advice,
            )
