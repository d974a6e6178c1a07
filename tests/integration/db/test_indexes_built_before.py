"""The documented way to build the indexes of revision 0018 before it is migrated to."""

import asyncio
import re
from pathlib import Path

import asyncpg

from imagegen.db import migrations

_DOCUMENT = Path(__file__).parents[3] / "docs" / "database.md"
_DEFINITIONS = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'image_requests' AND schemaname = current_schema()
"""


async def test_indexes_that_an_operator_has_built_before_are_those_of_the_migration(
    empty_database_url: str, database_url: str
) -> None:
    statements = re.findall(r"CREATE INDEX CONCURRENTLY .*(?=;)", _DOCUMENT.read_text())
    await asyncio.to_thread(migrations.upgrade, empty_database_url, "0017")
    connection = await asyncpg.connect(empty_database_url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()

    await asyncio.to_thread(migrations.upgrade, empty_database_url)

    assert len(statements) == 4
    assert await _indexes(empty_database_url) == await _indexes(database_url)


async def _indexes(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    found = {row["indexname"]: row["indexdef"] for row in await connection.fetch(_DEFINITIONS)}
    await connection.close()
    return found
