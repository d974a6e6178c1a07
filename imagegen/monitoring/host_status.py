"""How each worker sees the hosts, published in Redis for `imagegen hosts`."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic
from imagegen.db.tables import HostUse
from imagegen.pool.pool import Pool

_PUBLISH_EVERY_S = 2.0
_KEPT_S = 10
_KEY_PREFIX = "imagegen:hosts:"


class PublishedHost(BaseModel):
    """One host as one worker sees it.

    `model_set` is what the worker drew last there, None before the first drawing, and `loaded` what
    the host is known to have in memory, None if unknown. `why` is the reason why the host is not up,
    None if it is. `use`, `address` and `loaded` are missing where an older worker publishes.
    """

    # A newer worker may publish more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    condition: str
    slots: int
    taken: int
    model_set: str | None
    why: str | None
    use: str = HostUse.ACTIVE
    address: str | None = None
    loaded: str | None = None


_HOSTS = TypeAdapter(list[PublishedHost])


class HostStatusPublisher:
    """Publishes the view of one worker. It expires 10 s after the worker's last update."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool
        self._key = _KEY_PREFIX + secrets.token_hex(8)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Publish every 2 s while the block runs, and erase the key at its end."""
        try:
            async with periodic.every(_PUBLISH_EVERY_S, self._publish, name="host status"):
                yield
        finally:
            with suppress(RedisError, OSError):
                await self._redis.delete(self._key)

    async def _publish(self) -> None:
        hosts = [
            PublishedHost(
                name=host.name,
                condition=host.condition.value,
                slots=host.slots,
                taken=host.taken,
                model_set=host.model_set,
                why=host.why,
                use=host.use.value,
                address=host.address,
                loaded=host.loaded,
            )
            for host in self._pool.status()
        ]
        # While Redis is away nothing is published; the next step tries again.
        with suppress(RedisError, OSError):
            await self._redis.set(
                self._key, json.dumps([host.model_dump() for host in hosts]), ex=_KEPT_S
            )


async def read_published(redis: Redis) -> Sequence[PublishedHost]:
    """Return what all workers have published, each host once for each worker.

    What a worker of another version has published in a form that cannot be read is left out.

    Raises:
        RedisError: Redis cannot be used.
    """
    keys = [key async for key in redis.scan_iter(match=f"{_KEY_PREFIX}*")]
    values = await redis.mget(keys) if keys else []
    # A key that has expired since the scan has no value.
    return [host for value in values if value for host in _read(value)]


async def count_workers(redis: Redis) -> int:
    """Return how many workers have published lately.

    Raises:
        RedisError: Redis cannot be used.
    """
    return len([key async for key in redis.scan_iter(match=f"{_KEY_PREFIX}*")])


def _read(packed: bytes) -> list[PublishedHost]:
    try:
        return _HOSTS.validate_json(packed)
    except ValidationError:
        return []
