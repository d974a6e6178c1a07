"""The worker's connections to PostgreSQL, and its transactions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
import structlog
from pydantic import SecretStr
from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import database_url, sqlstates
from chatflow_hook.compiled_statements import create_engine
from chatflow_hook.database import keep_usable
from chatflow_hook.direct_query import DirectQuery, driver_connection_of
from chatflow_hook.failures import cause_of
from imagegen.errors import Unavailable, Unexpected

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")
AnyRow = Row[*tuple[Any, ...]]

# A server that does not answer in this time is frozen or gone; the request goes back to the queue.
_CONNECT_TIMEOUT_S = 5.0
DEFAULT_POOL_SIZE = 10
_COMMAND_TIMEOUT_S = 15.0
# How long to wait for a connection of the pool while all are in use.
_POOL_TIMEOUT_S = 10.0
# Before a transaction is run again that has lost to another one.
_RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8)
# During a connect and at a timeout, asyncpg's own errors are raised, not wrapped by SQLAlchemy.
_DATABASE_ERRORS = (
    DBAPIError,
    NoConnectionInTime,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # Raised by a rollback if the connection broke in the middle of an answer.
    asyncpg.InternalClientError,
)


UTF8 = "UTF8"


class DatabaseRefused(Unexpected):
    """PostgreSQL refuses a statement: for its values, or for a cause that is no request's fault.

    A missing right for instance, or an encoding that cannot store every text.
    """

    code = "database_refused"


def connect(
    url: SecretStr | str,
    *,
    pool_size: int = DEFAULT_POOL_SIZE,
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
        # asyncpg's own five minutes would have each statement of a rare picture prepared anew.
        "max_cached_statement_lifetime": 0,
    }
    settings = {"application_name": "chatflow-imagegen"}
    connect_args = defaults | address.connect_args
    connect_args["server_settings"] = settings | connect_args.get("server_settings", {})
    return keep_usable(
        create_engine(
            address.url,
            connect_args=connect_args,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            # One that was used just now has its statements prepared, and needs no ping.
            pool_use_lifo=True,
            # Errors are logged and must not contain what people wrote.
            hide_parameters=True,
        )
    )


def foreign_encoding(encoding: str) -> str:
    """Return what is wrong with a database of another encoding than UTF8."""
    return f"the encoding of the database is {encoding}, which cannot store every text"


async def first(
    database: AsyncEngine | AsyncConnection, query: DirectQuery, values: Mapping[str, Any]
) -> Any | None:
    """Run a query and return its first row, with its columns as attributes; None if it returns none.

    On a connection it belongs to the transaction of that. On an engine it is a transaction by
    itself, and runs on asyncpg without SQLAlchemy, which takes three times as long; it runs again
    as in `run_in_transaction`.

    Raises:
        Unavailable: PostgreSQL cannot be reached, takes no writes or is not migrated.
        DatabaseRefused: PostgreSQL refuses the statement for another reason.
    """
    if isinstance(database, AsyncConnection):
        result = await database.execute(query.executable, values)
        return result.first() if result.returns_rows else None
    try:
        return await _run_on_asyncpg(database, lambda connection: query.first(connection, values))
    except _NeedsSQLAlchemy:
        return await run_statement(database, lambda connection: first(connection, query, values))


async def all_rows(
    engine: AsyncEngine, query: DirectQuery, values: Mapping[str, Any] = MappingProxyType({})
) -> Sequence[Any]:
    """Run a query and return all of its rows, as `first` does with one.

    Raises:
        Unavailable: PostgreSQL cannot be reached, takes no writes or is not migrated.
        DatabaseRefused: PostgreSQL refuses the statement for another reason.
    """

    async def step(connection: AsyncConnection) -> Sequence[Any]:
        return (await connection.execute(query.executable, values)).all()

    try:
        return await _run_on_asyncpg(engine, lambda connection: query.all(connection, values))
    except _NeedsSQLAlchemy:
        return await run_statement(engine, step)


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
        Unavailable: PostgreSQL cannot be reached, takes no writes or is not migrated.
        DatabaseRefused: PostgreSQL refuses the statement for another reason.
    """
    return await _with_retries(engine.begin, step)


async def run_statement(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a `step` of one statement, which is a transaction by itself: it saves BEGIN and COMMIT.

    It runs again as in `run_in_transaction`.

    Raises:
        Unavailable: PostgreSQL cannot be reached, takes no writes or is not migrated.
        DatabaseRefused: PostgreSQL refuses the statement for another reason.
    """
    return await _with_retries(engine.execution_options(isolation_level="AUTOCOMMIT").connect, step)


class _NeedsSQLAlchemy(Exception):
    """The statement has to be run by SQLAlchemy, and has had no effect yet."""


async def _run_on_asyncpg(
    engine: AsyncEngine, run: Callable[[asyncpg.Connection], Awaitable[ResultT]]
) -> ResultT:
    async def step(connection: AsyncConnection) -> ResultT:
        driver_connection = driver_connection_of(connection)
        if driver_connection is None:
            raise _NeedsSQLAlchemy
        try:
            return await run(driver_connection)
        except (
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ):
            # Of the server or of the connection: SQLAlchemy is to see it, and replaces both.
            raise _NeedsSQLAlchemy from None
        except (asyncio.CancelledError, TimeoutError):
            # Whoever waits no longer may do so since nothing answers. SQLAlchemy closes such a
            # connection too, and the pool replaces it.
            driver_connection.terminate()
            raise
        except asyncpg.PostgresError as error:
            # As an error of a statement, which one of a connect is not.
            raise DBAPIError(None, None, error, hide_parameters=True) from error

    return await _with_retries(engine.connect, step)


async def _with_retries(
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    step: Callable[[AsyncConnection], Awaitable[ResultT]],
) -> ResultT:
    async def once() -> ResultT:
        async with begin() as connection:
            try:
                return await step(connection)
            except DBAPIError as error:
                if sqlstates.is_of_the_encoding(error):
                    await _require_utf8(connection, error)
                raise

    try:
        return await sqlstates.run_with_retries(
            once,
            delays_s=_RETRY_DELAYS_S,
            on_retry=lambda state: log.warning("transaction runs again", sqlstate=state),
        )
    except _DATABASE_ERRORS as error:
        raise _unavailable(error) from error


async def _require_utf8(connection: AsyncConnection, error: DBAPIError) -> None:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    encoding = raw.get_settings().server_encoding
    if encoding != UTF8:
        sentence = f"{foreign_encoding(encoding)}: move to a database of the encoding UTF8"
        raise DatabaseRefused(sentence, reason=sentence, costs_an_attempt=False) from error


def _unavailable(error: Exception) -> Unavailable:
    """Return what an error of the database means for a request, in a sentence without any value."""
    sentence = f"{_why(error)} ({_name(error)})"
    if sqlstates.is_not_migrated(error):
        return Unavailable(sentence, code="database_not_migrated")
    # An error that is not wrapped comes from a connect or a timeout, and not from a statement.
    if not isinstance(error, DBAPIError) or sqlstates.is_away(error):
        return Unavailable(sentence, code="database_unavailable")
    if sqlstates.is_lost_to_another(error):
        return Unavailable(sentence, code="database_unavailable")
    return DatabaseRefused(
        sentence, reason=sentence, costs_an_attempt=sqlstates.may_be_the_values(error)
    )


def _why(error: Exception) -> str:
    if isinstance(error, NoConnectionInTime):
        return "all connections of this worker to the database are in use"
    if isinstance(error, TimeoutError):
        return (
            "the database does not answer in time: it hangs, or another session has locked a table"
        )
    return cause_of(error).sentence


def _name(error: Exception) -> str:
    state = sqlstates.sqlstate(error)
    if state is None:
        return type(sqlstates.original(error)).__name__
    return f"{sqlstates.condition(error)}, {state}"
