"""The hook's own connections to PostgreSQL: opened, checked when lent, and used in transactions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from chatflow_hook.database_url import Address
from chatflow_hook.failures import cause_of
from chatflow_hook.sqlstates import run_with_retries

# A connection used so recently is believed to live unless its socket says otherwise: asking each
# time, as pool_pre_ping does, costs three more ways to the server and back.
_TRUSTED_S = 5.0


def check_on_checkout(
    engine: AsyncEngine, *, clock: Callable[[], float] = time.monotonic
) -> AsyncEngine:
    """Look at each connection that leaves the pool, and return the engine."""

    def returns(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["returned_at"] = clock()

    def leaves(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        now = clock()
        if now - entry.info.get("returned_at", now) > _TRUSTED_S:
            _ping(engine, connection)

    event.listen(engine.sync_engine, "checkin", returns)
    event.listen(engine.sync_engine, "checkout", leaves)
    return engine


def _ping(engine: AsyncEngine, connection: DBAPIConnection) -> None:
    dialect = engine.sync_engine.dialect
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error


# While it connects and when it times out, asyncpg raises its own errors past SQLAlchemy.
DATABASE_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)

_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 5.0
# More than one process of Python can keep busy. None above them: such a one would be closed after
# each turn, and opened for the next.
_CONNECTIONS = 10


def connect(address: Address) -> AsyncEngine:
    """Make an engine; opens no connection. The caller disposes of it."""
    limits = {"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S}
    return check_on_checkout(
        create_async_engine(
            address.url,
            connect_args=limits | address.connect_args,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            # An error never quotes what people wrote.
            hide_parameters=True,
        )
    )


ResultT = TypeVar("ResultT")

_WITHIN_S = 15.0
_DELAYS_S = (0.05, 0.2, 0.8)


class DatabaseFault(Exception):
    """The database could not do what was asked; the message says why and what to do.

    Nothing was changed, unless the connection broke just while the transaction was committed.
    The message quotes nothing that people wrote.
    """


async def run_in_transaction(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a step in a transaction and commit it; up to four times if it loses to another one.

    Raises:
        DatabaseFault: it could not be done within 15 s.
    """

    async def once() -> ResultT:
        async with engine.begin() as connection:
            return await step(connection)

    try:
        async with asyncio.timeout(_WITHIN_S):
            return await run_with_retries(once, delays_s=_DELAYS_S)
    except DATABASE_ERRORS as error:
        raise DatabaseFault(cause_of(error).sentence) from error
