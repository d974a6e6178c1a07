"""What PostgreSQL is asked, and whether somebody waits there for a lock."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from tests.support.conversations import Sessions


@contextmanager
def noted_queries() -> Iterator[list[asyncpg.connection.LoggedQuery]]:
    """Give the list of what connections that are opened during the block are asked.

    That is on asyncpg, with SQLAlchemy or without it. It tells of a query a moment after it has
    ended, at the next turn of the event loop.
    """
    seen: list[asyncpg.connection.LoggedQuery] = []

    def listen(connection: Any, _: Any) -> None:
        connection.driver_connection.add_query_logger(seen.append)

    event.listen(Pool, "connect", listen)
    try:
        yield seen
    finally:
        event.remove(Pool, "connect", listen)


async def somebody_waits(sessions: Sessions) -> None:
    """Return once a transaction waits for a lock of another one."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(20), sessions() as session:
        while not await session.scalar(waiting):  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0.01)
