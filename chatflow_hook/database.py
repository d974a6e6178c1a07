"""The hook's own connections to PostgreSQL: a pool that stays usable, and transactions.

A deadline covers its own clean-up. Rolling back and returning a connection to the pool need an
answer of the server, which a frozen one does not give; so each transaction has a task of its own,
and a caller whose time is over leaves it behind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from chatflow_hook.compiled_statements import create_engine
from chatflow_hook.database_url import Address
from chatflow_hook.failures import cause_of
from chatflow_hook.sqlstates import is_read_only, original, run_with_retries

ResultT = TypeVar("ResultT")

# During a connect and at a timeout, asyncpg's own errors are raised, not wrapped by SQLAlchemy.
DATABASE_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 5.0
# More than one Python process can keep busy. There is no overflow, since SQLAlchemy closes such a
# connection after each use.
_CONNECTIONS = 10
# A connection that was used so recently is taken for alive unless its socket is closed. A query at
# each checkout, as pool_pre_ping sends, costs three more round trips.
_PING_AFTER_S = 5.0
# A third of the time of a turn, so that the turn still counts on a new connection.
_PING_WITHIN_S = 0.3
_PING_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
# The arrays of which asyncpg would ask each new connection what they are, by a query that takes
# PostgreSQL 7 ms: oid, name, and oid and name of their elements. Those of text it knows by itself.
_ARRAYS = (
    (1007, "_int4", 23, "integer"),
    (1015, "_varchar", 1043, "character varying"),
    (1016, "_int8", 20, "bigint"),
    (2951, "_uuid", 2950, "uuid"),
)
_ARRAY_TYPES = [
    {
        "oid": oid,
        "ns": "pg_catalog",
        "name": name,
        "kind": b"b",
        "basetype": None,
        "basetype_name": None,
        "elemtype": element_oid,
        "elemtype_name": element,
        "elemdelim": ",",
        "range_subtype": None,
        "range_subtype_name": None,
        "attrtypoids": None,
        "attrnames": None,
    }
    for oid, name, element_oid, element in _ARRAYS
]
# For a transaction with all its attempts, and the pauses between these.
_WITHIN_S = 15.0
_DELAYS_S = (0.05, 0.2, 0.8)
# For the rollback of a transaction that was given up. Afterwards its connection is closed.
_CLEAN_UP_S = 1.0


class DatabaseFault(Exception):
    """The database could not do what was asked; the message says why and what to do.

    Nothing was changed, unless the connection broke just while the transaction was committed.
    The message quotes nothing that people wrote.
    """


def connect(address: Address) -> AsyncEngine:
    """Create an engine; opens no connection. The caller disposes of it."""
    limits = {"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S}
    return keep_usable(
        create_engine(
            address.url,
            connect_args=limits | address.connect_args,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            # Otherwise errors would quote what people wrote.
            hide_parameters=True,
        )
    )


def keep_usable(
    engine: AsyncEngine,
    *,
    ping_within_s: float = _PING_WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncEngine:
    """Let the engine's pool hand out only connections that are of use, and return the engine.

    A connection that is closed is replaced when it is taken from the pool. After 5 s without use it
    is pinged first. If it does not answer within `ping_within_s`, it and all that were opened before
    are replaced: a firewall or a load balancer may have forgotten them. So they are as soon as one
    proves to be read-only, since their server may have been the primary until a failover, and if
    asyncpg has lost count of what its connection does, as 0.29 has after the server's goodbye. A
    connection is closed without waiting for the server's answer. A new one knows the arrays of our
    statements. `clock` returns seconds.
    """

    def on_connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # A version of asyncpg without this asks PostgreSQL, as it does for all other types.
        with suppress(AttributeError, KeyError, TypeError):
            connection.driver_connection.get_settings().register_data_types(_ARRAY_TYPES)

    def on_checkin(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["returned_at"] = clock()

    def on_checkout(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        now = clock()
        if now - entry.info.get("returned_at", now) > _PING_AFTER_S:
            _ping(connection, within_s=ping_within_s)

    def on_error(context: ExceptionContext) -> None:
        error = context.original_exception
        if is_read_only(error) or isinstance(original(error), asyncpg.InternalClientError):
            context.is_disconnect = True

    def on_close(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # SQLAlchemy's close would wait for the server: for seconds if it is frozen, and so beyond
        # the deadline that made us close the connection.
        connection.driver_connection.terminate()

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "checkin", on_checkin)
    event.listen(engine.sync_engine, "checkout", on_checkout)
    event.listen(engine.sync_engine, "handle_error", on_error)
    event.listen(engine.sync_engine, "close", on_close)
    return engine


class Database:
    """The hook's database, for one event loop: an engine, and the transactions that run on it.

    Creating it opens no connection. `close` closes the connections.
    """

    def __init__(self, address: Address, *, clean_up_s: float = _CLEAN_UP_S) -> None:
        self._engine = connect(address)
        self._clean_up_s = clean_up_s
        # SQLAlchemy's pool does not wake who waits for a connection when another's attempt to open
        # one has failed; so nobody waits in the pool.
        self._room = asyncio.Semaphore(_CONNECTIONS)
        self._running: dict[asyncio.Task[Any], _Lease] = {}

    async def run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        """Run a step in a transaction and commit it.

        If the caller is cancelled, which `asyncio.timeout` does too, this ends at once. The
        transaction is then cancelled and rolled back in the background, and if the server does
        not answer within 1 s, its connection is closed. A commit that was under way may still
        have happened.

        Raises:
            DATABASE_ERRORS, and what the step raises.
        """
        return await self._lent(step, self._engine.begin)

    async def run_autocommitted(
        self, step: Callable[[AsyncConnection], Awaitable[ResultT]]
    ) -> ResultT:
        """Run a step of which each statement is a transaction by itself, on asyncpg's connection.

        What the step executes on the given connection of SQLAlchemy is rolled back. Ends as `run`.

        Raises:
            DATABASE_ERRORS, and what the step raises.
        """
        return await self._lent(step, self._engine.connect)

    async def _lent(
        self,
        step: Callable[[AsyncConnection], Awaitable[ResultT]],
        begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    ) -> ResultT:
        lease = _Lease()
        task = asyncio.create_task(self._run(step, begin, lease), name="chatflow_hook transaction")
        self._running[task] = lease
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                asyncio.get_running_loop().call_later(self._clean_up_s, lease.terminate)
        return task.result()

    async def run_with_retries(
        self, step: Callable[[AsyncConnection], Awaitable[ResultT]]
    ) -> ResultT:
        """Run a step in a transaction, up to four times if another transaction is in the way.

        Raises:
            DatabaseFault: it could not be done within 15 s.
        """
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await run_with_retries(lambda: self.run(step), delays_s=_DELAYS_S)
        except DATABASE_ERRORS as error:
            raise DatabaseFault(cause_of(error).sentence) from error

    async def close(self) -> None:
        """Close all connections, without waiting for the server; may be called twice."""
        for task, lease in self._running.items():
            task.cancel()
            lease.terminate()
        if self._running:
            await asyncio.wait(self._running, timeout=self._clean_up_s)
        await self._engine.dispose()

    async def _run(
        self,
        step: Callable[[AsyncConnection], Awaitable[ResultT]],
        begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        lease: "_Lease",
    ) -> ResultT:
        try:
            async with self._room, begin() as connection:
                lease.take(connection)
                return await step(connection)
        finally:
            lease.end()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        del self._running[task]
        if not task.cancelled():
            task.exception()  # or asyncio would log that nobody has read it


class _Lease:
    """The connection of a transaction, for as long as that runs."""

    def __init__(self) -> None:
        self._driver_connection: Any = None

    def take(self, connection: AsyncConnection) -> None:
        if connection.sync_connection is not None:
            self._driver_connection = connection.sync_connection.connection.driver_connection

    def end(self) -> None:
        self._driver_connection = None

    def terminate(self) -> None:
        """Close the connection without waiting for the server, unless the transaction has ended."""
        if self._driver_connection is not None:
            self._driver_connection.terminate()


def _ping(connection: DBAPIConnection, *, within_s: float) -> None:
    # Closed when the time is over. A statement that is cancelled instead would have asyncpg open
    # another connection, over which it asks the server to stop.
    loop = asyncio.get_running_loop()
    timer = loop.call_later(within_s, connection.driver_connection.terminate)
    try:
        # One message there and one back: nothing is prepared, which a pooler could mix up.
        connection.run_async(lambda driver_connection: driver_connection.execute("SELECT 1"))
    except _PING_ERRORS as error:
        raise InvalidatePoolError from error
    finally:
        timer.cancel()
