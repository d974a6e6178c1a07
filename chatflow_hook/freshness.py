"""Freshness: a connection that died in the pool is replaced instead of handed out."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

# A connection used so recently is believed to live unless its socket says otherwise: asking each
# time, as pool_pre_ping does, costs three more ways to the server and back.
_BELIEVED_S = 5.0


def keep(engine: AsyncEngine, *, clock: Callable[[], float] = time.monotonic) -> AsyncEngine:
    """Look at each connection that leaves the pool, and return the engine."""

    def returns(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["returned_at"] = clock()

    def leaves(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        now = clock()
        if now - entry.info.get("returned_at", now) > _BELIEVED_S:
            _ask(engine, connection)

    event.listen(engine.sync_engine, "checkin", returns)
    event.listen(engine.sync_engine, "checkout", leaves)
    return engine


def _ask(engine: AsyncEngine, connection: DBAPIConnection) -> None:
    dialect = engine.sync_engine.dialect
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error
