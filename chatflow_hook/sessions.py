"""The bot's sessions and connections of every kind, as one interface for recording a turn."""

from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

AsyncKind = AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection
SyncKind = Session | scoped_session[Session] | Connection

ResultT = TypeVar("ResultT")


class BotConnection(Protocol):
    """A connection in the middle of the bot's transaction."""

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None, /
    ) -> CursorResult[Any]: ...

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """Open a savepoint; an exception rolls back to it."""


def require_async(session: object) -> None:
    """Check that a session is one of SQLAlchemy's asyncio, of any driver.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(session, AsyncSession | async_scoped_session | AsyncConnection):
        raise TypeError(
            "session must be an AsyncSession, an async_scoped_session or an AsyncConnection, not "
            f"{type(session).__name__}; chatflow_hook.sync has the hook for synchronous sessions"
        )


async def connection_of(session: AsyncKind) -> BotConnection:
    """Flush what is pending in a session, and return its connection.

    Raises:
        SQLAlchemyError: what was pending could not be flushed, or there is no connection. The
            driver's own exceptions may come instead.
    """
    if isinstance(session, AsyncConnection):
        return session
    await session.flush()
    return await session.connection()


def require_sync(session: object) -> None:
    """Check that a session is a synchronous one of SQLAlchemy, of any driver.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(session, Session | scoped_session | Connection):
        raise TypeError(
            "session must be a Session, a scoped_session or a Connection, not "
            f"{type(session).__name__}; an AsyncSession goes to chatflow_hook.ChatFlowHook"
        )


def sync_connection_of(session: SyncKind) -> BotConnection:
    """Do the same for a synchronous session.

    The methods of what is returned never wait for an event loop: use `run_without_loop`.

    Raises:
        SQLAlchemyError: what was pending could not be flushed, or there is no connection. The
            driver's own exceptions may come instead.
    """
    if isinstance(session, Connection):
        return _SyncConnection(session)
    session.flush()
    return _SyncConnection(session.connection())


def run_without_loop(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine that never waits for an event loop, in the caller's thread."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: ResultT = end.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine waits for an event loop")


class _SyncConnection:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        return self._connection.execute(query, parameters)

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        with self._connection.begin_nested():
            yield
