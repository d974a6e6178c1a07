"""A TCP proxy before a host that can go silent: then nothing passes and no connection breaks."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_CHUNK = 65_536
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) /(?:api/)?([a-z_]+)[^ ]* HTTP/1.1\r\n")


class Cable:
    """Forwards connections to its own address; pulled, it is silent, as with a lost route."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._far = (host, int(port))
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self.address = ""
        # What has passed: requests by method and first part of the path, and the host's bytes.
        self.requests: Counter[str] = Counter()
        self.bytes_back = 0

    def pull(self) -> None:
        self._plugged.clear()

    def plug(self) -> None:
        self._plugged.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        await self._plugged.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._far)
        except OSError:
            writer.transport.abort()
            return
        there = asyncio.create_task(self._pass(reader, far_writer, self._note), name="there")
        back = asyncio.create_task(self._pass(far_reader, writer, self._weigh), name="back")
        try:
            # The host's end of a connection is the end of both.
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait({there, back})
            for end in (writer, far_writer):
                end.close()

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
                await self._plugged.wait()
                note(chunk)
                writer.write(chunk)
                await writer.drain()
