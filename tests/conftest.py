"""What all tests share: real servers, and a database of its own for each test."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.servers.servers import Servers, running_servers
from tests.support import conversations
from tests.support.conversations import Sessions

if TYPE_CHECKING:
    from tests.support.product import Stages

REDIS_DBS = (3, 4)

# Each test has a timeout; how long one example takes says how busy the machine is.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")


def pytest_configure() -> None:
    """Take SIGINT back where a background shell has it ignored: children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the journeys, whose files take minutes: the last one would run alone."""
    items.sort(key=lambda item: "journey" not in item.path.parts)


def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many processes as cores usually are, since tests wait; one on a given Redis."""
    return 4 if _given() is None else 1


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Give the servers of the environment, if it names both, or private ones.

    In a foreign PostgreSQL the tests make databases of their own and drop them. In a foreign
    Redis they empty the databases 3 and 4, so these have to be empty before.
    """
    if (given := _given()) is not None:
        asyncio.run(_refuse_redis_in_use(given.redis_url))
        yield given
        return
    with running_servers() as private:
        yield private


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    """Give the name of a database with our migrations applied, to be copied."""
    name = _fresh_name()
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name}"))
    try:
        migrations.upgrade(_address_of(name, servers))
        yield name
    finally:
        asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_url(servers: Servers, template: str) -> AsyncIterator[str]:
    """Give the address of a fresh database with our tables."""
    async with _database(servers, f"TEMPLATE {template}") as url:
        yield url


@pytest.fixture
async def empty_database_url(servers: Servers) -> AsyncIterator[str]:
    """Give the address of a fresh database without any table."""
    async with _database(servers, "") as url:
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
    """Give the address of a Redis whose databases 3 and 4 are empty; name no database in it."""
    url = _without_database(servers.redis_url)
    yield url
    for db in REDIS_DBS:
        async with _redis(url, db) as redis:
            await redis.flushdb()


@pytest.fixture
def stages(database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path) -> "Stages":
    """Give what sets stages on this test's database and Redis."""
    from tests.support.product import Stages  # noqa: PLC0415 (takes seconds, which a unit test can do without)

    return Stages(database_url, redis_url, sessions, tmp_path / "images")


def _given() -> Servers | None:
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if not (database_url and redis_url):
        return None
    return Servers(database_url=database_url, redis_url=redis_url)


@asynccontextmanager
async def _database(servers: Servers, how: str) -> AsyncIterator[str]:
    name = _fresh_name()
    await _execute(servers.database_url, f"CREATE DATABASE {name} {how}")
    try:
        yield _address_of(name, servers)
    finally:
        await _execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _fresh_name() -> str:
    return f"imagegen_test_{secrets.token_hex(6)}"


def _address_of(name: str, servers: Servers) -> str:
    return urlsplit(servers.database_url)._replace(path=f"/{name}").geturl()


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
