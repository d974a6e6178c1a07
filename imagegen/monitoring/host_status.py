"""Bulletin: what the workers know of the hosts, pinned up in Redis for whoever looks."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic
from imagegen.pool.pool import Pool

_EVERY_S = 2.0
_KEPT_S = 10
_KEYS = "imagegen:hosts:"


@dataclass(frozen=True, kw_only=True)
class PublishedHost:
    """One host as one worker sees it; `model_set` is what it drew last there."""

    name: str
    condition: str
    slots: int
    taken: int
    model_set: str | None
    why: str | None


class HostStatusPublisher:
    """Pins up the view of one worker; it falls off when the worker is gone."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool
        self._key = _KEYS + secrets.token_hex(8)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Keep the view up to date while the block runs, and take it off at the end."""
        try:
            async with periodic.every(_EVERY_S, self._publish, name="bulletin"):
                yield
        finally:
            with suppress(RedisError, OSError):
                await self._redis.delete(self._key)

    async def _publish(self) -> None:
        notices = [
            PublishedHost(
                name=host.name,
                condition=host.condition.value,
                slots=host.slots,
                taken=host.taken,
                model_set=host.model_set,
                why=host.why,
            )
            for host in self._pool.status()
        ]
        told = json.dumps([asdict(notice) for notice in notices])
        # While Redis is away nobody learns of it.
        with suppress(RedisError, OSError):
            await self._redis.set(self._key, told, ex=_KEPT_S)


async def read_published(redis: Redis) -> Sequence[PublishedHost] | None:
    """Return what all workers pinned up, each host once for each worker; None without Redis."""
    try:
        keys = [key async for key in redis.scan_iter(match=f"{_KEYS}*")]
        pinned = await redis.mget(keys) if keys else []
    except (RedisError, OSError):
        return None
    told: list[dict[str, Any]] = [one for text in pinned if text for one in json.loads(text)]
    return [PublishedHost(**one) for one in told]
