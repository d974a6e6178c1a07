"""The faults of a run of chaos are real: asked at the servers, sockets and files that they break."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from imagegen.sandbox.servers.postgres import PostgresServer
from tests.benchmarks.chaos import clock, postgres_faults, redis_faults
from tests.benchmarks.chaos.store_faults import StoreDisk, own_disk
from tests.benchmarks.load.tcp_proxy import TcpProxy
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import run_ready_tasks
from tests.support.ports import free_port

SILENT_S = 0.3


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Give a server of our own: its role and its configuration are changed."""
    with PostgresServer() as server:
        yield server


@asynccontextmanager
async def session(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def is_writable(connection: asyncpg.Connection) -> bool:
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS written (number int)")
        await connection.execute("INSERT INTO written VALUES (1)")
    except asyncpg.ReadOnlySQLTransactionError:
        return False
    return True


async def is_refused(connection: asyncpg.Connection) -> bool:
    return not await is_writable(connection)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.01)


async def test_postgresql_is_read_only_for_old_and_new_sessions_until_it_heals(
    postgres: PostgresServer,
) -> None:
    async with session(postgres.url) as old:
        assert await is_writable(old)

        async with postgres_faults.read_only(postgres.url), session(postgres.url) as new:
            await until(lambda: is_refused(old))
            await until(lambda: is_refused(new))

        await until(lambda: is_writable(old))


async def test_sessions_that_began_after_a_failover_stay_read_only_and_later_ones_write(
    postgres: PostgresServer,
) -> None:
    async with session(postgres.url) as before:
        async with postgres_faults.sessions_stay_read_only(postgres.url):
            with pytest.raises(
                (
                    asyncpg.PostgresError,
                    asyncpg.InterfaceError,
                    asyncpg.InternalClientError,
                    OSError,
                )
            ):
                await before.execute("SELECT 1")
            during = await asyncpg.connect(postgres.url)
        async with session(postgres.url) as after:
            assert not await is_writable(during)
            assert await is_writable(after)
            during.terminate()


async def test_connections_to_a_dead_primary_are_silent_and_new_ones_work(
    postgres: PostgresServer,
) -> None:
    async with TcpProxy(f"127.0.0.1:{postgres.port}") as proxy:
        url = postgres.url.replace(f":{postgres.port}/", f":{proxy.address.rpartition(':')[2]}/")
        async with session(url) as old:
            await old.execute("SELECT 1")

            proxy.abandon_connections()
            await run_ready_tasks()  # the proxy's own, or it may still pass the question on

            with pytest.raises(TimeoutError):
                await old.fetchval("SELECT 1", timeout=SILENT_S)
            async with session(url) as new:
                assert await new.fetchval("SELECT 1") == 1


async def test_a_redis_that_refuses_writes_answers_reads_until_it_heals(redis_url: str) -> None:
    async with Redis.from_url(redis_url, db=3) as redis:
        async with redis_faults.refusing_writes(redis_url):
            assert await redis.get("a") is None
            with pytest.raises(OutOfMemoryError):
                await redis.set("a", 1)

        assert await redis.set("a", 1)


async def test_keys_and_entries_of_the_queue_are_lost_one_by_one(redis_url: str) -> None:
    async with Redis.from_url(redis_url, db=3) as queue, Redis.from_url(redis_url, db=4) as live:
        await queue.zadd("arq:queue", {str(number): number for number in range(1, 100)})
        for number in range(100):
            await queue.set(f"arq:job:{number}", 1)
            await live.set(f"imagegen:live:{number}", 1)

        async def has_lost_some() -> bool:
            sizes = await queue.dbsize(), await live.dbsize(), await queue.zcard("arq:queue")
            return all(size < 98 for size in sizes)

        async with redis_faults.losing_keys(redis_url, seed="1"):
            await until(has_lost_some)

        assert await queue.dbsize() > 50
        assert await live.dbsize() > 50


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """Give a proxy to a server that returns each line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with TcpProxy(address, port=free_port()) as proxy:
            yield proxy


async def connected(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_dropped_packets_are_no_connection_and_no_answer_until_they_pass_again(
    proxy: TcpProxy,
) -> None:
    reader, writer = await connected(proxy)
    await proxy.drop_packets()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENT_S):
            await connected(proxy)
    writer.write(b"late\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENT_S):
            await reader.readline()

    await proxy.listen()
    assert await reader.readline() == b"late\n"
    new_reader, new_writer = await connected(proxy)
    new_writer.write(b"new\n")
    assert await new_reader.readline() == b"new\n"
    writer.close()
    new_writer.close()


async def test_a_server_that_is_away_closes_its_connections_and_refuses_others(
    proxy: TcpProxy,
) -> None:
    reader, writer = await connected(proxy)
    writer.write(b"here\n")
    await reader.readline()

    await proxy.refuse()

    assert await reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await connected(proxy)
    writer.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[StoreDisk]:
    with own_disk(tmp_path / "disk") as disk:
        if disk.cannot_mount is not None:
            pytest.skip(disk.cannot_mount)
        disk.directory.mkdir()
        yield disk


@pytest.mark.parametrize(
    ("broken", "code"), [(StoreDisk.full, errno.ENOSPC), (StoreDisk.read_only, errno.EROFS)]
)
async def test_a_full_or_read_only_disk_takes_nothing_until_it_heals(
    disk: StoreDisk,
    broken: Callable[[StoreDisk], AbstractAsyncContextManager[None]],
    code: int,
) -> None:
    picture = disk.directory / "picture"

    async with broken(disk):
        with pytest.raises(OSError, match=os.strerror(code)):
            picture.write_bytes(b"x" * 10_000)

    picture.write_bytes(b"x" * 10_000)


async def test_a_store_that_is_missing_is_back_with_what_it_had(tmp_path: Path) -> None:
    disk = StoreDisk(root=tmp_path)
    disk.directory.mkdir()
    picture = disk.directory / "picture"
    picture.write_bytes(b"x")

    async with disk.missing():
        with pytest.raises(NotADirectoryError):
            picture.read_bytes()

    assert picture.read_bytes() == b"x"


def test_a_wrong_clock_is_that_of_the_day_and_no_other() -> None:
    if (why := clock.why_not()) is not None:
        pytest.skip(why)
    code = "import json, time; print(json.dumps([time.time(), time.monotonic()]))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(clock.environment(-40)),
        capture_output=True,
        check=True,
    )

    wall, monotonic = json.loads(done.stdout)
    assert wall == pytest.approx(time.time() - 40, abs=15)
    assert monotonic == pytest.approx(time.monotonic(), abs=15)
