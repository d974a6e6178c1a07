"""The standstill of a frozen host: its connections stay open, and nothing moves."""

import asyncio
from contextlib import suppress


class Standstill:
    """Frozen or not, for one life of a host; whoever does something waits here first."""

    def __init__(self) -> None:
        self._moves = asyncio.Event()
        self._moves.set()
        self._over = asyncio.Event()
        self._sockets: set[asyncio.Transport] = set()

    @property
    def is_frozen(self) -> bool:
        return not self._moves.is_set()

    def freeze(self) -> None:
        """Stand still; no socket is read, so that not even a ping is answered."""
        self._moves.clear()
        for transport in self._sockets:
            transport.pause_reading()

    def thaw(self) -> None:
        self._moves.set()
        for transport in self._sockets:
            transport.resume_reading()

    def end(self) -> None:
        """Let all who wait go: the life is over."""
        self._over.set()
        self._moves.set()
        # A socket that is not read does not notice that its other end has gone.
        for transport in self._sockets:
            transport.abort()

    async def passed(self) -> bool:
        """Wait until nothing is frozen; False when the life ended meanwhile."""
        await self._moves.wait()
        return not self._over.is_set()

    async def pause(self, seconds: float | None) -> bool:
        """Let so many seconds pass, or wait for the end; False when the life ended meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return await self.passed()

    def join(self, transport: asyncio.Transport) -> None:
        """Count a websocket's connection in."""
        self._sockets.add(transport)

    def leave(self, transport: asyncio.Transport) -> None:
        self._sockets.discard(transport)
