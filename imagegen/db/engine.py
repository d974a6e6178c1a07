"""The worker's connections to PostgreSQL, and its transactions."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import asyncpg
import structlog
from pydantic import SecretStr
from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chatflow_hook import database_url
from chatflow_hook.database import check_on_checkout
from chatflow_hook.sqlstates import is_away, is_not_migrated, run_with_retries
from imagegen.errors import Unavailable

# A server that answers neither is frozen or gone, and the request goes back to the queue.
_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 15.0
# As long as a connection may be waited for while all are in use.
_POOL_TIMEOUT_S = 10.0


def connect(
    url: SecretStr | str,
    *,
    pool_size: int = 10,
    command_timeout_s: float = _COMMAND_TIMEOUT_S,
) -> AsyncEngine:
    """Make an engine; opens no connection. The caller disposes of it. Raises ValueError."""
    address = database_url.parse(url.get_secret_value() if isinstance(url, SecretStr) else url)
    defaults: dict[str, Any] = {
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": command_timeout_s,
    }
    settings = {"application_name": "chatflow-imagegen"}
    connect_args = defaults | address.connect_args
    connect_args["server_settings"] = settings | connect_args.get("server_settings", {})
    return check_on_checkout(
        create_async_engine(
            address.url,
            connect_args=connect_args,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            # An error never quotes what people wrote.
            hide_parameters=True,
        )
    )


AnyRow = Row[*tuple[Any, ...]]


async def one_or_none(
    connection: AsyncConnection, query: Executable, values: dict[str, Any] | None = None
) -> AnyRow | None:
    """Run a query for one row at most."""
    return (await connection.execute(query, values)).one_or_none()


log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8)


async def run_in_transaction(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run `step` in a transaction and commit it. Raises Unavailable if PostgreSQL is away."""
    return await _with_retries(engine.begin, step)


async def run_statement(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a `step` of one statement, which is a transaction by itself: no BEGIN, no COMMIT.

    Raises Unavailable if PostgreSQL is away.
    """
    return await _with_retries(engine.execution_options(isolation_level="AUTOCOMMIT").connect, step)


async def _with_retries(
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    step: Callable[[AsyncConnection], Awaitable[ResultT]],
) -> ResultT:
    return await run_with_retries(
        lambda: _once(begin, step),
        delays_s=_DELAYS_S,
        on_retry=lambda state: log.warning("transaction runs again", sqlstate=state),
    )


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
        if is_away(error):
            raise _away(error) from error
        if is_not_migrated(error):
            raise Unavailable(
                "the database lacks tables or columns: run `imagegen migrate`",
                code="database_not_migrated",
            ) from error
        raise


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"PostgreSQL is away: {type(error).__name__}", code="database_unavailable")
