"""The hook's own connection to PostgreSQL, and what it looks like when that is away."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chatflow_hook import freshness
from chatflow_hook.database_url import Address

# While it connects and when it times out, asyncpg raises its own errors past SQLAlchemy.
FAULTS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 5.0
# More than one process of Python can keep busy. None above them: such a one would be closed after
# each turn, and opened for the next.
_CONNECTIONS = 10


def connect(address: Address) -> AsyncEngine:
    """Make an engine; opens no connection. The caller disposes of it."""
    limits = {"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S}
    return freshness.keep(
        create_async_engine(
            address.url,
            connect_args=limits | address.connect_args,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            # An error never quotes what people wrote.
            hide_parameters=True,
        )
    )
