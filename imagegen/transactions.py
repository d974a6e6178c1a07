"""One transaction of the worker, run again when it loses to another one."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen.errors import Unavailable

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

# deadlock_detected, serialization_failure, lock_not_available
_LOST = {"40P01", "40001", "55P03"}
# undefined_table, undefined_column
_NOT_MIGRATED = {"42P01", "42703"}
# connection_exception, operator_intervention, insufficient_resources
_AWAY_CLASSES = {"08", "57", "53"}
_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8)


async def run(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run `step` in a transaction and commit it. Raises Unavailable if PostgreSQL is away."""
    return await _persistently(engine.begin, step)


async def single(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a `step` of one statement, which is a transaction by itself: no BEGIN, no COMMIT.

    Raises Unavailable if PostgreSQL is away.
    """
    return await _persistently(engine.execution_options(isolation_level="AUTOCOMMIT").connect, step)


async def _persistently(
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    step: Callable[[AsyncConnection], Awaitable[ResultT]],
) -> ResultT:
    for delay in _DELAYS_S:
        try:
            return await _once(begin, step)
        except DBAPIError as error:
            if _sqlstate(error) not in _LOST:
                raise
            log.warning("transaction runs again", sqlstate=_sqlstate(error))
        await asyncio.sleep(delay)
    return await _once(begin, step)


async def _once(
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    step: Callable[[AsyncConnection], Awaitable[ResultT]],
) -> ResultT:
    try:
        async with begin() as connection:
            return await step(connection)
    except (
        OSError,
        TimeoutError,
        NoConnectionInTime,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        # What a rollback meets whose connection broke in the middle of an answer.
        asyncpg.InternalClientError,
    ) as error:
        raise _away(error) from error
    except DBAPIError as error:
        if error.connection_invalidated or _is_broken(error):
            raise _away(error) from error
        if _sqlstate(error) in _NOT_MIGRATED:
            raise Unavailable(
                "the database lacks tables or columns: run `imagegen migrate`",
                code="database_not_migrated",
            ) from error
        raise


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"PostgreSQL is away: {type(error).__name__}", code="database_unavailable")


def _is_broken(error: DBAPIError) -> bool:
    # The second is what a connection says that broke in the middle of an answer.
    return (_sqlstate(error) or "")[:2] in _AWAY_CLASSES or isinstance(
        getattr(error.orig, "__cause__", None), asyncpg.InternalClientError
    )


def _sqlstate(error: SQLAlchemyError) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)
