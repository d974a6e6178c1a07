"""The schema: what a worker says of a database that is not, half or further migrated."""

from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.db.migrations import SchemaCheck
from imagegen.errors import Unavailable
from imagegen.requests.repository import RequestRepository


async def lacks(url: str) -> str | None:
    engine = connect(url, pool_size=1)
    try:
        return await SchemaCheck(engine).lacks()
    finally:
        await engine.dispose()


async def rewrite_the_version(url: str, version: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE imagegen_alembic_version SET version_num = $1", version)
    await connection.close()


async def test_a_migrated_database_lacks_nothing(database_url: str) -> None:
    assert await lacks(database_url) is None


async def test_an_empty_database_is_not_migrated(empty_database_url: str) -> None:
    assert await lacks(empty_database_url) == "the database is not migrated: run `imagegen migrate`"


async def test_an_older_database_is_told(database_url: str) -> None:
    await rewrite_the_version(database_url, migrations.revisions()[-1])

    said = await lacks(database_url)

    assert said == "the database is older than this worker: run `imagegen migrate`"


async def test_a_newer_database_is_good_enough(database_url: str) -> None:
    await rewrite_the_version(database_url, "of_next_year")

    assert await lacks(database_url) is None


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await lacks("postgresql://bot:secret@127.0.0.1:1/chatflow")


async def test_what_needs_a_table_that_is_not_there_waits_for_the_migration(
    empty_database_url: str,
) -> None:
    engine = connect(empty_database_url)
    with pytest.raises(Unavailable) as raised:
        await _claim(engine)

    assert raised.value.code == "database_not_migrated"
    await engine.dispose()


async def _claim(engine: AsyncEngine) -> None:
    await RequestRepository(engine).claim(uuid4())
