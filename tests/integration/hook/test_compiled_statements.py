"""Engines of one process compile each statement once."""

from typing import Any

from sqlalchemy import JSON, bindparam, event, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.compiled_statements import SharedDialect, create_engine
from chatflow_hook.database_url import parse

GIVEN = {"said": ["hello", None]}


async def run_on_new_engine(database_url: str) -> tuple[Any, Any]:
    """Run a statement on an engine of its own; return what it read, and the statement as compiled."""
    address = parse(database_url)
    engine = create_engine(address.url, connect_args=address.connect_args)
    try:
        compiled = note_compiled(engine)
        async with engine.connect() as connection:
            statement = select(bindparam("one", type_=JSONB), bindparam("other", type_=JSON))
            row = (await connection.execute(statement, {"one": GIVEN, "other": GIVEN})).one()
    finally:
        await engine.dispose()
    return tuple(row), compiled[-1]


def note_compiled(engine: AsyncEngine) -> list[Any]:
    """Return a list to which each statement is added that the engine runs."""
    seen: list[Any] = []

    def note(*call: Any) -> None:
        context = call[4]
        seen.append(context.compiled)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return seen


async def test_a_second_engine_uses_what_the_first_has_compiled(database_url: str) -> None:
    first_row, first = await run_on_new_engine(database_url)
    second_row, second = await run_on_new_engine(database_url)

    assert first_row == second_row == (GIVEN, GIVEN)
    assert first is not None
    assert second is first


def test_what_was_compiled_for_one_version_of_postgresql_is_not_used_for_another() -> None:
    kept = {dialect_for(18, 4): "compiled"}

    assert kept.get(dialect_for(18, 4)) == "compiled"
    assert kept.get(dialect_for(13, 2)) is None


def dialect_for(*version: int) -> SharedDialect:
    """Return the dialect of an engine that has found a server of this version."""
    dialect = SharedDialect()  # type: ignore[no-untyped-call]
    dialect.server_version_info = version
    return dialect
