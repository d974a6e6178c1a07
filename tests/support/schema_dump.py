"""What stands in a database, written out so that two states of it can be compared."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg import Connection

# In every schema that people make. Names of columns, not their numbers: a column that came and
# went leaves a gap, which nobody can see.
_PLACES = r"""
    SELECT oid FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
"""
_RELATIONS = """
    SELECT c.oid::regclass AS relation, c.relkind, c.relpersistence, c.relacl::text, c.reloptions,
           CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid)
           END AS definition,
           obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class c WHERE c.relnamespace = ANY($1)
"""
_COLUMNS = """
    SELECT a.attrelid::regclass AS column_of, a.attname, format_type(a.atttypid, a.atttypmod),
           a.attnotnull, a.attidentity, a.attgenerated, a.attcollation, a.attstorage,
           pg_get_expr(d.adbin, d.adrelid) AS default,
           col_description(a.attrelid, a.attnum) AS comment
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i'
"""
_CONSTRAINTS = """
    SELECT o.conrelid::regclass AS constraint_of, o.conname, pg_get_constraintdef(o.oid),
           obj_description(o.oid, 'pg_constraint') AS comment
    FROM pg_constraint o WHERE o.connamespace = ANY($1)
"""
_TRIGGERS = """
    SELECT pg_get_triggerdef(t.oid) AS trigger FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = ANY($1) AND NOT t.tgisinternal
"""
_TYPES = """
    SELECT t.typname AS type, t.typtype FROM pg_type t
    WHERE t.typnamespace = ANY($1)
"""
_SEQUENCES = """
    SELECT s.schemaname, s.sequencename, s.last_value FROM pg_sequences s
    WHERE s.schemaname::regnamespace = ANY($1)
"""
_FUNCTIONS = """
    SELECT pg_get_functiondef(p.oid) AS function
    FROM pg_proc p
    WHERE p.pronamespace = ANY($1)
"""
_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = ANY($1) AND c.relkind = 'r'
"""


async def schema(url: str) -> set[str]:
    """Return one line for each thing in the database: tables, columns, constraints and so on."""
    queries = (_RELATIONS, _COLUMNS, _CONSTRAINTS, _TRIGGERS, _TYPES, _SEQUENCES, _FUNCTIONS)
    async with connected(url) as connection:
        places = [oid for (oid,) in await connection.fetch(_PLACES)]
        return {
            json.dumps(dict(row), default=_text)
            for query in queries
            for row in await connection.fetch(query, places)
        }


async def rows(url: str, *, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return all rows of all tables; `without` are columns to leave out."""
    async with connected(url) as connection:
        places = [oid for (oid,) in await connection.fetch(_PLACES)]
        return {
            table: await _rows_of(connection, table, list(without))
            for (table,) in await connection.fetch(_TABLES, places)
        }


async def execute(url: str, statements: str) -> str:
    """Run statements on a connection of their own; return what the last one says."""
    async with connected(url) as connection:
        said: str = await connection.execute(statements)
        return said


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect as a stranger would, with nothing of ours in between."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def _rows_of(connection: Connection, table: str, without: list[str]) -> list[str]:
    query = f"SELECT (to_jsonb(t) - $1::text[])::text FROM {table} t ORDER BY 1"  # noqa: S608 (a name from the catalog)
    return [row[0] for row in await connection.fetch(query, without)]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
