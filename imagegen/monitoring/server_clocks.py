"""How far the clocks of Redis and PostgreSQL are from this worker's, for the log and for /readyz."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.clock_skew import ClockSkew
from chatflow_hook.queue import server_time_s
from imagegen.db.engine import run_statement
from imagegen.errors import Unavailable

COMPARE_CLOCKS_EVERY_S = 30.0

_NOW = select(func.extract("epoch", func.clock_timestamp()))


class ServerClocks:
    """Compares the clocks of Redis and PostgreSQL with this worker's, which `clock` returns."""

    def __init__(
        self, redis: Redis, engine: AsyncEngine, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._engine = engine
        self._skews = {name: ClockSkew(name, clock=clock) for name in ("redis", "postgresql")}

    async def step(self) -> None:
        """Compare once; a server that is away is left out."""
        with suppress(RedisError, OSError):
            await self._skews["redis"].measure(lambda: server_time_s(self._redis))
        with suppress(Unavailable):
            await self._skews["postgresql"].measure(lambda: postgresql_time_s(self._engine))

    def ahead_s(self) -> Mapping[str, float]:
        """Return by server how many seconds its clock is ahead; one not asked yet is left out."""
        return {
            name: skew.ahead_s for name, skew in self._skews.items() if skew.ahead_s is not None
        }


async def postgresql_time_s(engine: AsyncEngine) -> float:
    """Return the time of the PostgreSQL server in seconds since the epoch.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """

    async def step(connection: AsyncConnection) -> float:
        return float((await connection.execute(_NOW)).scalar_one())

    return await run_statement(engine, step)
