"""Connections to Redis that cost the event loop less than redis-py's own.

redis-py 5 starts a task for each message that it sends, so that a full socket does not hold it up
for ever, and before each command it lets the event loop look once whether the connection was
closed. Both are left out where there is nothing to wait for: the socket takes the message at once,
and the stream knows already what has arrived.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)


class _DirectConnection(AbstractConnection):
    """Writes at once what the socket takes at once; everything else is redis-py's own."""

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and nothing has arrived that no command has read."""
        return self._is_open and not self._has_unread

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 (redis-py's own)
    ) -> None:
        """Send a command; wait for the socket only if it has not taken the one before yet.

        Raises:
            redis.exceptions.ConnectionError: the connection is broken.
            redis.exceptions.TimeoutError: the socket takes nothing for `socket_timeout`.
        """
        writer = self._writer
        if not isinstance(command, list) or writer is None or not self._takes_at_once(writer):
            await super().send_packed_command(command, check_health)
            return
        writer.writelines(command)

    @property
    def _is_open(self) -> bool:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or writer.is_closing():
            return False
        return reader.exception() is None and not reader.at_eof()

    def _takes_at_once(self, writer: asyncio.StreamWriter) -> bool:
        # A check of the connection's health, if REDIS_URL asks for it, is redis-py's.
        is_free = writer.transport.get_write_buffer_size() == 0
        return is_free and self._is_open and not self.health_check_interval

    @property
    def _has_unread(self) -> bool:
        # Bytes that the stream has, and bytes that the parser has taken from it. A parser that
        # cannot tell is asked in redis-py's own way.
        stream: Any = self._reader
        parser = getattr(self._parser, "_reader", None)
        has_data = getattr(parser, "has_data", None)
        return has_data is None or has_data() or bool(stream._buffer)  # noqa: SLF001 (no public name)


class _Tcp(_DirectConnection, Connection):
    pass


class _Tls(_DirectConnection, SSLConnection):
    pass


class _UnixSocket(_DirectConnection, UnixDomainSocketConnection):
    pass


_DIRECT: dict[Any, type[_DirectConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _UnixSocket,
}


def direct(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return the class of connections that does what this one of redis-py does, for less."""
    return _DIRECT[connection_class]


def is_quiet(connection: AbstractConnection) -> bool:
    """Whether a connection of `direct` is open, and nothing has arrived that no command has read."""
    return isinstance(connection, _DirectConnection) and connection.is_quiet
