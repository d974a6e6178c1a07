"""A TCP proxy before a server that can go silent, refuse connections, drop packets or lose connections."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Self

from imagegen.sandbox.telegram.dropped_port import dropped_port

_CHUNK = 65_536
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) /(?:api/)?([a-z_]+)[^ ]* HTTP/1.1\r\n")


class TcpProxy:
    """Forwards the connections to its own address; after `silence` nothing passes, as with a lost route.

    `port` 0 chooses a free one; name one if the proxy will `refuse` or `drop_packets`, since
    another socket could get a chosen one meanwhile.
    """

    def __init__(self, address: str, *, port: int = 0) -> None:
        host, _, far_port = address.rpartition(":")
        self._far = (host, int(far_port))
        self._port = port
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None
        self._dropped = ExitStack()
        # The connections, each with the event that makes it lose its other end.
        self._talks: dict[asyncio.Task[None], asyncio.Event] = {}
        self.address = ""
        # What has passed: requests by method and first part of the path, and the host's bytes.
        self.requests: Counter[str] = Counter()
        self.bytes_back = 0

    def silence(self) -> None:
        self._is_open.clear()

    def resume(self) -> None:
        self._is_open.set()

    async def refuse(self) -> None:
        """Close all connections and refuse new ones, until `listen`."""
        await self._close_port()
        await self._close_connections()

    async def drop_packets(self) -> None:
        """Let no packet pass until `listen`: connections are silent, and no new one comes about."""
        self.silence()
        await self._close_port()
        self._dropped.enter_context(dropped_port(self._port))

    async def listen(self) -> None:
        """Accept connections, and let the packets of those that are open pass on."""
        await self._close_port()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self.resume()

    def abandon_connections(self) -> None:
        """Make all open connections silent for ever, as those to a machine that has lost its power.

        The server's ends of them are closed. New connections work.
        """
        for lost in self._talks.values():
            lost.set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def _close_port(self) -> None:
        self._dropped.close()
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close_connections(self) -> None:
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        if talks:
            await asyncio.wait(talks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lost = self._talks[task] = asyncio.Event()
        task.add_done_callback(self._talks.pop)
        try:
            # It is cancelled by nobody but us. asyncio's streams of Python 3.11 would log that as
            # an error.
            with suppress(asyncio.CancelledError):
                await self._is_open.wait()
                await self._talk(reader, writer, lost)
        finally:
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._far)
        except OSError:
            writer.transport.abort()
            return
        parts = {
            asyncio.create_task(self._pass(reader, far_writer, self._note), name="there"),
            asyncio.create_task(self._pass(far_reader, writer, self._weigh), name="back"),
            asyncio.create_task(lost.wait(), name="lost"),
        }
        try:
            # The end of one end is the end of both.
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)
            far_writer.close()
        if lost.is_set():
            await _swallow(reader)

    def _note(self, chunk: bytes) -> None:
        for method, path in _REQUEST.findall(chunk):
            self.requests[f"{method.decode()} /{path.decode()}"] += 1

    def _weigh(self, chunk: bytes) -> None:
        self.bytes_back += len(chunk)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: Callable[[bytes], None],
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                await self._is_open.wait()
                note(chunk)
                writer.write(chunk)
                await writer.drain()


async def _swallow(reader: asyncio.StreamReader) -> None:
    """Read what comes until the client gives up."""
    with suppress(ConnectionError):
        while await reader.read(_CHUNK):
            pass
