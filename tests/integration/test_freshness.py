"""Connections that leave the pool are alive, and are not asked each time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chatflow_hook import freshness
from chatflow_hook.database_url import parse
from tests import catalog
from tests.lending import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(now=100.0)


@pytest.fixture
async def engine(database_url: str, clock: Clock) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, whose rest is measured by a clock that the test moves."""
    address = parse(database_url)
    bare = create_async_engine(address.url, connect_args=address.connect_args, pool_size=1)
    made = freshness.keep(bare, clock=clock)
    yield made
    await made.dispose()


async def test_a_connection_that_the_server_has_ended_is_replaced(
    engine: AsyncEngine, database_url: str
) -> None:
    first = await _pid(engine)
    await catalog.execute(database_url, f"SELECT pg_terminate_backend({first})")

    second = await _pid(engine)

    assert second != first


async def test_one_that_was_just_used_is_not_asked(engine: AsyncEngine, clock: Clock) -> None:
    queries = await _overheard(engine)

    clock.now += 4.0
    await _pid(engine)

    assert ";" not in queries


async def test_one_that_has_rested_is_asked_first(engine: AsyncEngine, clock: Clock) -> None:
    queries = await _overheard(engine)

    clock.now += 6.0
    await _pid(engine)

    assert ";" in queries


async def _pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        pid: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    return pid


async def _raw(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return (await connection.get_raw_connection()).driver_connection


async def _overheard(engine: AsyncEngine) -> list[str]:
    """Return what the connection is asked from now on."""
    queries: list[str] = []
    (await _raw(engine)).add_query_logger(lambda record: queries.append(record.query))
    return queries
