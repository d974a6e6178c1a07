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

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")
AnyRow = Row[*tuple[Any, ...]]

# A server that does not answer in this time is frozen or gone; the request goes back to the queue.
_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 15.0
# How long to wait for a connection of the pool while all are in use.
_POOL_TIMEOUT_S = 10.0
# Before a transaction is run again that has lost to another one.
_RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8)


def connect(
    url: SecretStr | str,
    *,
    pool_size: int = 10,
    command_timeout_s: float = _COMMAND_TIMEOUT_S,
) -> AsyncEngine:
    """Make an engine, which opens its connections when they are needed. The caller disposes of it.

    Options in the URL win over the defaults of this module. `command_timeout_s` limits each
    statement.

    Raises:
        ValueError: the URL is wrong.
    """
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
            # Errors are logged and must not contain what people wrote.
            hide_parameters=True,
        )
    )


async def one_or_none(
    connection: AsyncConnection, query: Executable, values: dict[str, Any] | None = None
) -> AnyRow | None:
    """Run a query that returns one row at most; None if it returns none."""
    return (await connection.execute(query, values)).one_or_none()


async def run_in_transaction(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run `step` in a transaction and commit it.

    It runs again, up to five times, if it loses to another transaction: a deadlock, a serialisation
    failure or a lock timeout. So it must do no harm to run `step` twice.

    Raises:
        Unavailable: PostgreSQL cannot be reached or is not migrated.
    """
    return await _with_retries(engine.begin, step)


async def run_statement(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a `step` of one statement, which is a transaction by itself: it saves BEGIN and COMMIT.

    It runs again as in `run_in_transaction`.

    Raises:
        Unavailable: PostgreSQL cannot be reached or is not migrated.
    """
    return await _with_retries(engine.execution_options(isolation_level="AUTOCOMMIT").connect, step)


async def _with_retries(
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    step: Callable[[AsyncConnection], Awaitable[ResultT]],
) -> ResultT:
    return await run_with_retries(
        lambda: _once(begin, step),
        delays_s=_RETRY_DELAYS_S,
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
        # Raised by a rollback if the connection broke in the middle of an answer.
        asyncpg.InternalClientError,
    ) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if is_away(error):
            raise _unavailable(error) from error
        if is_not_migrated(error):
            raise Unavailable(
                "the database lacks tables or columns: run `imagegen migrate`",
                code="database_not_migrated",
            ) from error
        raise


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"PostgreSQL is away: {type(error).__name__}", code="database_unavailable")
