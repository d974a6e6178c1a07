"""Migrations while the bot holds its locks: the chat never waits long, and never for ever."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from asyncpg import Connection
from asyncpg.transaction import Transaction

from imagegen import resources
from imagegen.db import migrations
from imagegen.db.migrations import LockWaits, MigrationStopped
from tests.support import fork_server, schema_dump
from tests.support.fork_server import RecordedCommand
from tests.support.patience import PATIENCE_S

_SCHEMA = (Path(__file__).parents[2] / "support" / "foreign_schema.sql").read_text(encoding="utf-8")

# What a handler of the bot may have open while it waits for an answer to write.
_HELD = {
    "access share": "SELECT * FROM dialogs",
    "row exclusive": "UPDATE dialogs SET message_count = message_count + 1 WHERE id = 1",
}


@pytest.fixture
async def url(empty_database_url: str) -> str:
    await schema_dump.execute(empty_database_url, _SCHEMA)
    return empty_database_url


@pytest.fixture
async def handler(url: str) -> AsyncIterator[Connection]:
    """Give a connection of the bot."""
    async with schema_dump.connected(url) as connection:
        yield connection


@pytest.fixture
async def other(url: str) -> AsyncIterator[Connection]:
    """Give another connection of the bot."""
    async with schema_dump.connected(url) as connection:
        yield connection


@pytest.mark.parametrize("held", _HELD)
async def test_the_bots_next_statement_goes_through_while_the_lock_is_held(
    url: str, handler: Connection, other: Connection, held: str
) -> None:
    transaction = await _opened(handler, _HELD[held])
    migration = asyncio.create_task(
        asyncio.to_thread(migrations.upgrade, url, lock_timeout_s=0.2, tries=6)
    )
    await _somebody_waits_for(other, "AccessExclusiveLock")

    async with asyncio.timeout(5):
        await other.execute("UPDATE dialogs SET message_count = 7 WHERE id = 2")

    assert not migration.done()
    await transaction.commit()
    await migration


@pytest.mark.parametrize("held", _HELD)
async def test_the_migration_succeeds_once_the_lock_is_gone(
    url: str, handler: Connection, other: Connection, held: str
) -> None:
    transaction = await _opened(handler, _HELD[held])
    migration = asyncio.create_task(
        asyncio.to_thread(migrations.upgrade, url, lock_timeout_s=0.2, tries=6)
    )
    await _somebody_waits_for(other, "AccessExclusiveLock")
    await _nobody_waits(other)

    await transaction.commit()
    await migration

    assert await other.fetchval("SELECT count(last_image_generation_at) FROM dialogs") == 0
    assert await other.fetchval("SELECT message_count FROM dialogs WHERE id = 1") in (1, 2)


@pytest.mark.parametrize("held", _HELD)
async def test_the_migration_gives_up_with_a_sentence(
    url: str, handler: Connection, held: str
) -> None:
    before = await schema_dump.schema(url)
    transaction = await _opened(handler, _HELD[held])

    with pytest.raises(MigrationStopped, match=r"gave up after 2 tries of 0\.05 s: .* dialogs"):
        await asyncio.to_thread(migrations.upgrade, url, lock_timeout_s=0.05, tries=2)

    await transaction.rollback()
    assert await schema_dump.schema(url) == before


async def test_the_downgrade_waits_as_politely(
    url: str, handler: Connection, other: Connection
) -> None:
    before = await schema_dump.schema(url)
    await asyncio.to_thread(migrations.upgrade, url)
    transaction = await _opened(handler, _HELD["access share"])
    migration = asyncio.create_task(
        asyncio.to_thread(migrations.downgrade, url, lock_timeout_s=0.2, tries=6)
    )
    await _somebody_waits_for(other, "AccessExclusiveLock")

    await transaction.commit()
    await migration

    assert await schema_dump.schema(url) == before


async def test_a_dialogs_that_lacks_nothing_is_not_locked(url: str, handler: Connection) -> None:
    await handler.execute(
        "ALTER TABLE dialogs ADD COLUMN last_image_generation_at integer,"
        " ADD COLUMN image_last_message_id bigint, ADD COLUMN image_counted_messages bigint[]"
    )
    transaction = await _opened(handler, _HELD["row exclusive"])

    await asyncio.to_thread(migrations.upgrade, url, lock_timeout_s=0.05, tries=1)

    await transaction.commit()


async def test_two_that_upgrade_at_once_both_succeed(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with schema_dump.connected(empty_database_url) as gate:
        transaction = await _opened(
            gate, "SELECT pg_advisory_xact_lock(hashtext('chatflow-imagegen'))"
        )
        with (
            _upgrading(empty_database_url, tmp_path) as one,
            _upgrading(empty_database_url, tmp_path) as two,
        ):
            await _somebody_waits_for(gate, "ExclusiveLock", how_many=2)

            await transaction.commit()

            for each in (one, two):
                assert await asyncio.to_thread(each.process.wait, PATIENCE_S) == 0, each.stderr
        scripts = ScriptDirectory.from_config(migrations.config(empty_database_url))
        version = await gate.fetchval("SELECT version_num FROM imagegen_alembic_version")
        assert version == scripts.get_current_head()


def test_the_pauses_grow_and_are_never_shorter_than_the_lock_was() -> None:
    assert list(LockWaits().pauses()) == [3, 6, 12, 24, 30, 30, 30]


async def _opened(connection: Connection, statement: str) -> Transaction:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(statement)
    return transaction


_WAITING = """
    SELECT count(*) FROM pg_locks WHERE NOT granted AND mode LIKE $1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def _somebody_waits_for(watcher: Connection, lock: str, *, how_many: int = 1) -> None:
    await _until(watcher, lock, lambda waiting: waiting >= how_many)


async def _nobody_waits(watcher: Connection) -> None:
    await _until(watcher, "%", lambda waiting: waiting == 0)


async def _until(watcher: Connection, lock: str, is_so: Callable[[int], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(await watcher.fetchval(_WAITING, lock)):  # noqa: ASYNC110 (PostgreSQL tells nobody who waits)
            await asyncio.sleep(0.01)


def _upgrading(url: str, at: Path) -> RecordedCommand:
    command = ("-m", "alembic", "-c", str(resources.path("alembic.ini")), "upgrade", "head")
    return RecordedCommand(
        fork_server.shared(),
        [sys.executable, *command],
        cwd=at,
        env=os.environ | {"DATABASE_URL": url},
    )
