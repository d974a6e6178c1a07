"""The Redis connections of worker and bot that nobody uses any more are closed."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Connection, Redis
from redis.exceptions import TimeoutError  # noqa: A004 (Redis has its own)

from chatflow_hook.queue import QueueClient
from chatflow_hook.redis_pool import IdleClosingPool
from chatflow_hook.settings import RedisPlace
from imagegen.queue import connections
from tests.support.conversations import hook_settings
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import Clock

BURST = 20
DB = 4


@pytest.mark.parametrize(
    "open_client",
    [
        lambda place: connections.job_queue(place, db=DB),
        lambda place: connections.result_connection(place, db=DB),
        lambda place: Redis.from_pool(place.pool(DB)),
    ],
    ids=["jobs of the worker", "live state of the worker", "bot"],
)
async def test_connections_that_only_a_burst_needed_are_closed(
    redis_url: str, open_client: Callable[[RedisPlace], Redis]
) -> None:
    clock = Clock()
    place = hook_settings("postgresql://unused/db", redis_url).redis
    async with Redis.from_url(redis_url, db=DB) as admin, open_client(place) as client:
        pool = client.connection_pool
        assert isinstance(pool, IdleClosingPool)
        pool.clock = clock
        before = await _count(admin)

        await _burst(client)
        assert await _count(admin) - before == BURST
        clock.now += 29
        await _burst(client, 2)
        assert await _count(admin) - before == BURST, "the next burst would need them again"
        clock.now += 1
        await client.ping()

        await _until_no_more_than(before + 2, admin)
        await _burst(client)
        assert await _count(admin) - before == BURST


class _StuckConnection(Connection):
    """A connection that cannot be closed within its limit, as one to a frozen server."""

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002 (redis-py's own)
        await super().disconnect(nowait)
        raise TimeoutError("Timed out closing connection")


async def test_a_connection_that_cannot_be_closed_stops_no_end(redis_url: str) -> None:
    async with Redis.from_url(redis_url, db=DB) as admin:
        before = await _count(admin)
        pool = IdleClosingPool.from_url(redis_url, db=DB, connection_class=_StuckConnection)
        client = Redis.from_pool(pool)
        await _burst(client, 2)

        await client.aclose()

        await _until_no_more_than(before, admin)


async def test_a_call_that_outlasts_the_close_leaves_no_connection(redis_url: str) -> None:
    place = hook_settings("postgresql://unused/db", redis_url).redis
    async with Redis.from_url(redis_url, db=DB) as admin:
        before = await _count(admin)
        client = QueueClient(place, broker_db=DB, result_db=DB)
        await client.close()

        assert await client.enqueue(uuid.uuid4(), within_s=PATIENCE_S)

        await _until_no_more_than(before, admin)


async def _burst(client: Redis, count: int = BURST) -> None:
    """Have so many connections in use at the same time, as many commands at once have."""
    all_here = asyncio.Barrier(count)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_use(client, all_here))


async def _use(client: Redis, all_here: asyncio.Barrier) -> None:
    pool: Any = client.connection_pool  # the types of redis-py name an argument that it ignores
    connection = await pool.get_connection()
    try:
        await connection.send_command("PING")
        assert await connection.read_response() == b"PONG"
        await all_here.wait()
    finally:
        await pool.release(connection)


async def _count(admin: Redis) -> int:
    clients = await admin.client_list()
    return sum(each["db"] == str(DB) for each in clients)


async def _until_no_more_than(most: int, admin: Redis) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await _count(admin) > most:  # noqa: ASYNC110 (Redis notices by itself)
            await asyncio.sleep(0.01)
