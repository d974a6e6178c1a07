"""How far the clocks of Redis and PostgreSQL are apart from the worker's."""

import time

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db.engine import connect
from imagegen.monitoring.server_clocks import ServerClocks


async def test_a_worker_whose_clock_is_behind_learns_by_how_much(
    redis_url: str, engine: AsyncEngine
) -> None:
    async with Redis.from_url(redis_url) as redis:
        clocks = ServerClocks(redis, engine, clock=lambda: time.time() - 600)

        await clocks.step()

    assert clocks.ahead_s() == pytest.approx({"redis": 600, "postgresql": 600}, abs=5)


async def test_servers_that_are_away_are_left_out() -> None:
    engine = connect("postgresql://bot:secret@127.0.0.1:1/chatflow")
    async with Redis(host="127.0.0.1", port=1) as redis:
        clocks = ServerClocks(redis, engine)

        await clocks.step()

    assert clocks.ahead_s() == {}
    await engine.dispose()
