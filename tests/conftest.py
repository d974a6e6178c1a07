"""What all tests share: real servers, and a database of its own for each test."""

import asyncio
import gc
import itertools
import os
import re
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import execnet
import hypothesis
import psycopg
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.servers import Servers, running_servers
from tests.support import conversations, fork_server
from tests.support.conversations import Sessions

if TYPE_CHECKING:
    from tests.support.product import ProductFactory

REDIS_DBS = (3, 4)

_SLOWEST_FILES = {
    "test_short_chaos.py",
    "test_delivery.py",
    "test_demo.py",
    "test_hosts_in_trouble.py",
    "test_testing_docs.py",
    "test_wheel.py",
    "test_worker_killed_at_each_step.py",
}
# Their tests share what takes long to make: one process runs them all.
_TOGETHER = {"test_chat_page.py", "test_wheel.py"}
# For PostgreSQL's files: a database of its own for each test is many small files, which a file
# system on a disk takes four times as long to make and remove.
_MEMORY = Path("/dev/shm")  # noqa: S108 (each process makes a private directory in it)
_MEMORY_BYTES = 4 * 2**30

# No deadline per example: each test has a timeout, and a busy machine makes examples slow.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")


def pytest_configure() -> None:
    """Restore SIGINT where a background shell ignores it: children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_temporary_files_in_memory()
    if _given() is None:
        # Our own server speaks no TLS. By default each connection would ask it, for a millisecond.
        os.environ.setdefault("PGSSLMODE", "disable")


def _keep_temporary_files_in_memory() -> None:
    """Use memory for temporary files where there is much of it and TMPDIR names no other place."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES <= _available_memory_bytes() // 2:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


def _available_memory_bytes() -> int:
    # What programs may use, unlike the free memory also that of the cache of files.
    found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    return 0 if found is None else int(found.group(1)) * 1024


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin in each process with the tests that take long: the last one would run alone.

    At first each process gets one part of the list, as long as the others' (xdist's worksteal).
    """
    items.sort(key=_speed)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    parts: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for _, group in itertools.groupby(items, key=_shares_with):
        min(parts, key=len).extend(group)
    items[:] = itertools.chain.from_iterable(parts)


def _shares_with(item: pytest.Item) -> str:
    """Return what the tests have in common that one process has to run."""
    return item.path.name if item.path.name in _TOGETHER else item.nodeid


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is there for good: modules and thousands of tests."""
    gc.collect()
    gc.freeze()


def _speed(item: pytest.Item) -> int:
    if item.path.name in _SLOWEST_FILES:
        return 0
    return 1 if "journey" in item.path.parts else 2


def pytest_xdist_auto_num_workers() -> int:
    """Run six processes, since tests wait more than they compute; one on a Redis given to us."""
    return 6 if _given() is None else 1


def pytest_xdist_setupnodes(config: pytest.Config, specs: list[execnet.XSpec]) -> None:
    """Fork the processes from one that has imported the tests, which takes seconds of CPU."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    home = config.invocation_params.dir
    tests = [str(home / each) for each in config.args]
    python = stack.enter_context(fork_server.shared_by_processes(*tests))
    for spec in specs:
        spec.python = python


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Return the servers that the environment names, if it names both, or start private ones.

    On a PostgreSQL of the environment the tests create databases of their own and drop them. On a
    Redis of the environment they empty the databases 3 and 4, so these have to be empty before.
    """
    if (given := _given()) is not None:
        asyncio.run(_refuse_redis_in_use(given.redis_url))
        yield given
        return
    with running_servers() as private:
        yield private


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """Return a server of the test's own, with our migrations applied, to be stopped or killed."""
    with PostgresServer() as server:
        migrations.upgrade(server.url)
        yield server


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[psycopg.Connection]:
    """Return a connection that makes and drops databases, each with one statement."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template(servers: Servers, databases: psycopg.Connection) -> Iterator[str]:
    """Return the name of a database with our migrations applied, to be copied."""
    with _database(servers, databases, "") as url:
        migrations.upgrade(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(servers: Servers, databases: psycopg.Connection, template: str) -> Iterator[str]:
    """Give the address of a fresh database with our tables."""
    # Copying files takes half the time of copying pages by way of the log, and brings the template's
    # cache of its own tables with it.
    with _database(servers, databases, f"TEMPLATE {template} STRATEGY file_copy") as url:
        yield url


@pytest.fixture
def empty_database_url(servers: Servers, databases: psycopg.Connection) -> Iterator[str]:
    """Give the address of a fresh database without any table."""
    with _database(servers, databases, "STRATEGY file_copy") as url:
        yield url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = connect(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return conversations.sessions_of(engine)


@pytest.fixture
async def redis_url(servers: Servers) -> AsyncIterator[str]:
    """Return the URL, without a database number, of a Redis whose databases 3 and 4 are empty."""
    url = _without_database(servers.redis_url)
    yield url
    for db in REDIS_DBS:
        async with _redis(url, db) as redis:
            await redis.flushdb()


@pytest.fixture
def products(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> "ProductFactory":
    """Return what starts products (see tests/support/product.py) on this test's database and Redis."""
    from tests.support.product import ProductFactory  # noqa: PLC0415 (takes seconds, which a unit test can do without)

    return ProductFactory(database_url, redis_url, sessions, tmp_path / "images")


def _given() -> Servers | None:
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if not (database_url and redis_url):
        return None
    return Servers(database_url=database_url, redis_url=redis_url)


@contextmanager
def _database(servers: Servers, databases: psycopg.Connection, how: str) -> Iterator[str]:
    name = f"imagegen_test_{secrets.token_hex(6)}"
    databases.execute(f"CREATE DATABASE {name} {how}".encode())
    try:
        yield urlsplit(servers.database_url)._replace(path=f"/{name}").geturl()
    finally:
        databases.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@asynccontextmanager
async def _redis(url: str, db: int) -> AsyncIterator[Redis]:
    async with Redis.from_url(url, db=db, socket_timeout=10) as redis:
        yield redis


async def _refuse_redis_in_use(url: str) -> None:
    for db in REDIS_DBS:
        async with _redis(_without_database(url), db) as redis:
            if await redis.dbsize():
                pytest.exit(f"the tests empty database {db} of REDIS_URL, which holds keys", 2)


def _without_database(url: str) -> str:
    return urlsplit(url)._replace(path="").geturl()
