"""What a worker says of a database with which it cannot work, or not yet."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from imagegen.db import revisions
from imagegen.db.database_check import DatabaseCheck
from imagegen.db.engine import DatabaseRefused, connect
from imagegen.errors import Unavailable
from imagegen.requests.repository import RequestRepository
from tests.support import broken_databases, database_activity
from tests.support.pool_callers import Clock


async def lacks(url: str) -> str | None:
    engine = connect(url, pool_size=1)
    try:
        return await DatabaseCheck(engine).lacks()
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
    await rewrite_the_version(database_url, revisions.revisions()[-1])

    said = await lacks(database_url)

    assert said == "the database is older than this worker: run `imagegen migrate`"


async def test_a_newer_database_is_good_enough(database_url: str) -> None:
    await rewrite_the_version(database_url, "of_next_year")

    assert await lacks(database_url) is None


async def test_a_database_that_takes_no_writes_is_told(database_url: str) -> None:
    await broken_databases.make_read_only(database_url, is_read_only=True)
    engine = connect(database_url, pool_size=1)
    check = DatabaseCheck(engine)

    read_only = await check.lacks()
    await broken_databases.make_read_only(database_url, is_read_only=False)
    after = await check.lacks()

    assert read_only is not None
    assert "takes no writes" in read_only
    assert after is None, "a new connection was opened"
    await engine.dispose()


async def test_a_table_that_another_session_has_locked_is_told_steadily_and_by_whom(
    database_url: str,
) -> None:
    engine = connect(database_url, pool_size=1)
    check = DatabaseCheck(engine)

    async with broken_databases.locked_table(database_url) as process:
        locked = [await check.lacks(), await check.lacks()]
    after = await check.lacks()

    first, again = locked
    role = make_url(database_url).username
    by = f"process {process} ({role}, an admin, SELECT relname FROM pg_class)"  # noqa: S608
    assert first == again
    assert str(first).startswith(
        f"the table image_requests is locked by {by}: wait for its end, or "
    )
    assert str(first).endswith(f" pg_terminate_backend({process})")
    assert after is None
    await engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_of_another_encoding_is_told(database_url: str, encoding: str) -> None:
    async with broken_databases.database_of_encoding(database_url, encoding) as url:
        lack = await lacks(url)

    assert lack is not None
    assert f"the encoding of the database is {encoding}" in lack


async def test_a_role_without_rights_is_told_which(database_url: str) -> None:
    grants = (
        "SELECT ON imagegen_alembic_version",
        "SELECT, DELETE, UPDATE (last_image_generation_at) ON dialogs",
        "SELECT, UPDATE, DELETE ON image_requests",
        "SELECT, INSERT, DELETE ON stray_prompts, forgotten_messages, imagegen_pauses",
        "SELECT, INSERT ON hash_secret",
        "SELECT ON comfyui_hosts",
        "SELECT, INSERT, UPDATE, DELETE ON safety_memory",
        "SELECT, UPDATE, DELETE ON unread_turns",
        "SELECT, INSERT, UPDATE, DELETE ON forgotten_images, safety_audit",
        "SELECT, UPDATE ON age_confirmations",
        "SELECT ON deliveries",
        "USAGE ON SEQUENCE safety_audit_id_seq",
    )
    async with broken_databases.weak_role(database_url, *grants) as url:
        few, role = await lacks(url), make_url(url).username
    enough = ("INSERT, UPDATE ON deliveries", "USAGE ON SEQUENCE deliveries_id_seq")
    async with broken_databases.weak_role(database_url, *grants, *enough) as url:
        all_rights = await lacks(url)

    assert few == (
        f"the database user lacks rights: GRANT INSERT, UPDATE ON deliveries TO {role}; "
        f"GRANT USAGE ON SEQUENCE deliveries_id_seq TO {role}"
    )
    assert all_rights is None


async def test_a_role_that_may_not_read_the_version_is_told(database_url: str) -> None:
    async with broken_databases.weak_role(database_url) as url:
        with pytest.raises(DatabaseRefused) as raised:
            await lacks(url)

    assert "grant" in raised.value.sentence
    assert "insufficient_privilege, 42501" in raised.value.sentence


async def test_each_change_is_logged_once(database_url: str) -> None:
    engine = connect(database_url, pool_size=1)
    check = DatabaseCheck(engine)

    with capture_logs() as log:
        await check.step()
        await broken_databases.make_read_only(database_url, is_read_only=True)
        await engine.dispose()
        for _ in range(3):
            await check.step()
        await broken_databases.make_read_only(database_url, is_read_only=False)
        for _ in range(3):
            await check.step()

    assert [line["event"] for line in log] == ["database not ready", "database ready"]
    assert "takes no writes" in log[0]["why"]
    await engine.dispose()


async def test_a_worker_that_is_not_probed_writes_nothing(database_url: str) -> None:
    engine = connect(database_url, pool_size=1)
    check = DatabaseCheck(engine)
    await check.step()
    before = await _next_transaction(engine)

    for _ in range(3):
        await check.step()

    assert await _next_transaction(engine) == before
    await engine.dispose()


async def test_where_nothing_is_wrong_one_statement_says_so(database_url: str) -> None:
    with database_activity.noted_queries() as queries:
        engine = connect(database_url, pool_size=1)
        check = DatabaseCheck(engine)
        for _ in range(3):
            await check.step()
        await asyncio.sleep(0)
        await engine.dispose()

    # SQLAlchemy itself begins and ends a transaction on its first connection.
    asked = [each.query for each in queries if each.query.startswith("SELECT")]
    assert len(asked) == 3


async def test_readiness_writes_at_most_once_in_ten_seconds(database_url: str) -> None:
    engine, clock = connect(database_url, pool_size=1), Clock(now=100.0)
    check = DatabaseCheck(engine, clock=clock)
    transactions = [await _next_transaction(engine)]

    for seconds in (0.0, 9.0, 1.0):
        clock.now += seconds
        assert await check.lacks() is None
        transactions.append(await _next_transaction(engine))

    first, written, kept, written_again = transactions
    assert first < written == kept < written_again
    await engine.dispose()


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


async def _next_transaction(engine: AsyncEngine) -> int:
    """Return the id of the next transaction that writes; one that only reads gets none."""
    async with engine.connect() as connection:
        row = await connection.execute(
            text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        )
        return int(row.scalar_one())


async def _claim(engine: AsyncEngine) -> None:
    await RequestRepository(engine).claim(uuid4())
