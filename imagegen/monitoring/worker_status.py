"""Which workers run, published in Redis for the status page."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic
from imagegen.pool.pool import Pool

_PUBLISH_EVERY_S = 2.0
_KEPT_S = 10
_KEY_PREFIX = "imagegen:worker:"


class PublishedWorker(BaseModel):
    """A worker as it says itself.

    `started_at` is on its own clock. `taken` of its `slots` are lent, and `waiting` jobs wait for
    one.
    """

    # A newer worker may publish more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    started_at: datetime
    is_stopping: bool
    slots: int
    taken: int
    waiting: int


class WorkerStatusPublisher:
    """Publishes one worker. It expires 10 s after the worker's last update."""

    def __init__(
        self, redis: Redis, pool: Pool, *, name: str, is_stopping: Callable[[], bool]
    ) -> None:
        self._redis = redis
        self._pool = pool
        self._name = name
        self._is_stopping = is_stopping
        self._started_at = datetime.now(UTC)
        self._key = _KEY_PREFIX + secrets.token_hex(8)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Publish every 2 s while the block runs, and erase the key at its end."""
        try:
            async with periodic.every(_PUBLISH_EVERY_S, self._publish, name="worker status"):
                yield
        finally:
            with suppress(RedisError, OSError):
                await self._redis.delete(self._key)

    def _own(self) -> PublishedWorker:
        return PublishedWorker(
            name=self._name,
            version=metadata.version("chatflow-imagegen"),
            started_at=self._started_at,
            is_stopping=self._is_stopping(),
            slots=sum(host.slots for host in self._pool.status()),
            taken=self._pool.taken,
            waiting=self._pool.waiting,
        )

    async def _publish(self) -> None:
        # While Redis is away nothing is published; the next step tries again.
        with suppress(RedisError, OSError):
            await self._redis.set(self._key, self._own().model_dump_json(), ex=_KEPT_S)


async def read_workers(redis: Redis) -> Sequence[PublishedWorker]:
    """Return what all workers have published, by name.

    What a worker of another version has published in a form that cannot be read is left out.

    Raises:
        RedisError: Redis cannot be used.
    """
    keys = [key async for key in redis.scan_iter(match=f"{_KEY_PREFIX}*")]
    values = await redis.mget(keys) if keys else []
    found = []
    for value in values:
        # A key that has expired since the scan has no value.
        with suppress(ValidationError):
            found += [PublishedWorker.model_validate(json.loads(value))] if value else []
    return sorted(found, key=lambda worker: worker.name)
