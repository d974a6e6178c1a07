"""IdleClosingPool: a pool of Redis connections that shrinks again after a burst."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import RedisError

_IDLE_S = 30.0


class IdleClosingPool(ConnectionPool):
    """Closes each connection that nobody has used for half a minute.

    redis-py's own pool keeps as many connections as were ever in use at the same time. It gives out
    the one that was used last, so those that a burst has opened are left unused. They are looked at
    when another one is given back. `clock` is for tests: seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock: Callable[[], float] = time.monotonic
        self._released_at: WeakKeyDictionary[AbstractConnection, float] = WeakKeyDictionary()
        self._is_closed = False

    async def release(self, connection: AbstractConnection) -> None:
        """Give a connection back, and close those that were idle for too long."""
        if self._is_closed:
            await connection.disconnect(nowait=True)
        await super().release(connection)
        now = self._released_at[connection] = self.clock()
        # Those that nobody uses, the longest idle first. None is waited for: the connection to a frozen
        # server would hold up the caller.
        idle = self._available_connections
        while idle and now - self._released_at.get(idle[0], now) >= _IDLE_S:
            await idle.pop(0).disconnect(nowait=True)

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 (redis-py's own)
        """Close all connections; one that a frozen server does not let go in time is left to it.

        redis-py closes the others as well, and raises then. No caller could do anything more.
        """
        self._is_closed = True
        with suppress(RedisError, OSError):
            await super().disconnect(inuse_connections)
