"""The worker's engine when PostgreSQL answers, falls silent, or is gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import Dialog
from imagegen.db.engine import connect, run_in_transaction
from imagegen.errors import Unavailable
from tests.support import conversations
from tests.support.conversations import Sessions


class Cable:
    """A TCP proxy that can be pulled like a cable: nothing comes through, and nobody is told."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._plugged = asyncio.Event()
        self._plugged.set()

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            self._plugged.set()

    def pull(self) -> None:
        self._plugged.clear()

    def plug(self) -> None:
        self._plugged.set()

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(client, to_server))
                both.create_task(self._carry(server, to_client))
        finally:
            to_server.close()
            to_client.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                await self._plugged.wait()
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()


@pytest.fixture
async def cable(database_url: str) -> AsyncIterator[tuple[Cable, str]]:
    """Give a cable to the test's database, and the address through it."""
    address = urlsplit(database_url)
    assert address.hostname
    assert address.port
    cable = Cable(address.hostname, address.port)
    async with cable.laid() as port:
        place = f"{address.username}:{address.password}@127.0.0.1:{port}"
        yield cable, address._replace(netloc=place).geturl()


async def test_a_row_can_be_read_after_the_commit(
    sessions: Sessions,
) -> None:
    async with sessions.begin() as session:
        dialog = Dialog(id=1, message_count=3)
        session.add(dialog)

    assert dialog.message_count == 3


async def test_a_secret_address_is_taken(database_url: str) -> None:
    engine = connect(SecretStr(database_url), pool_size=1)

    async with engine.connect() as connection:
        name = await connection.scalar(text("SELECT current_setting('application_name')"))

    assert name == "chatflow-imagegen"
    await engine.dispose()


async def test_a_server_that_falls_silent_in_a_transaction_is_noticed(
    cable: tuple[Cable, str],
) -> None:
    wire, url = cable
    engine = connect(url, pool_size=1, command_timeout_s=0.3)

    async with asyncio.timeout(20):
        session = conversations.sessions_of(engine)()
        await session.execute(select(Dialog))
        wire.pull()

        with pytest.raises(TimeoutError):
            await session.execute(select(Dialog))
        await session.close()

    wire.plug()
    await engine.dispose()


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_a_connection_that_broke_in_an_answer_is_a_database_that_is_away(
    engine: AsyncEngine, *, is_wrapped: bool
) -> None:
    broken = asyncpg.InternalClientError("cannot switch to state 12")
    wrapped = Exception("as SQLAlchemy's driver wraps it")
    wrapped.__cause__ = broken

    async def step(_: AsyncConnection) -> None:
        raise DBAPIError("SELECT 1", None, wrapped) if is_wrapped else broken

    with pytest.raises(Unavailable) as caught:
        await run_in_transaction(engine, step)

    assert caught.value.code == "database_unavailable"
