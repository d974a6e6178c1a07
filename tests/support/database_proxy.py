"""A TCP proxy to the test's PostgreSQL that goes silent, keeps answers or forgets connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress

from sqlalchemy import make_url


class DatabaseProxy:
    """A TCP proxy that can go silent: nothing comes through, and no connection is closed."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._answers_left: int | None = None
        # What was sent by either side and held back.
        self.held_back = b""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                server.close()
                self._is_open.set()
                # Their sockets are closed before the event loop is.
                for connection in self._connections:
                    connection.cancel()
                await asyncio.gather(*self._connections, return_exceptions=True)

    def silence(self) -> None:
        self._is_open.clear()

    def resume(self) -> None:
        self._is_open.set()

    @contextmanager
    def answers_held_back(self) -> Iterator[None]:
        """Let what is asked through during the block, and its answers after it."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    def forget(self) -> None:
        """Let nothing more through the connections of now, as a firewall does; new ones work."""
        self._is_open.clear()
        self._is_open = asyncio.Event()
        self._is_open.set()

    def lose_answer(self, *, after: int) -> None:
        """Let so many answers through, and break the connection at the next one, only once."""
        self._answers_left = after

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        with closing(to_client):
            is_open = self._is_open
            server, to_server = await asyncio.open_connection(*self._target)
            with closing(to_server):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(client, to_server, is_open))
                    both.create_task(self._carry(server, to_client, is_open, is_answer=True))

    def _is_lost(self) -> bool:
        if self._answers_left is None:
            return False
        self._answers_left -= 1
        if self._answers_left >= 0:
            return False
        self._answers_left = None
        return True

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_open: asyncio.Event,
        *,
        is_answer: bool = False,
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if not is_open.is_set():
                    self.held_back += chunk
                await is_open.wait()
                if is_answer:
                    await self._may_answer.wait()
                    if self._is_lost():
                        break
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()


@asynccontextmanager
async def proxy_to(database_url: str) -> AsyncIterator[tuple[DatabaseProxy, str]]:
    """Give a proxy to a database, and the address through it."""
    url = make_url(database_url)
    assert url.host
    assert url.port
    proxy = DatabaseProxy(url.host, url.port)
    async with proxy.listening() as port:
        yield (
            proxy,
            url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False),
        )
