"""Statements that run on asyncpg itself, where that is the driver: those of a turn and of a picture.

SQLAlchemy takes three times as long for a short statement as asyncpg alone, and a turn has little
else to do. Such a statement is built and compiled once.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ClauseElement

# The name of a parameter, and what converts its value for asyncpg, None if nothing does.
_Bind = tuple[str, Callable[[Any], Any] | None]


class DirectQuery:
    """A statement, as SQLAlchemy runs it on any driver and as asyncpg runs it by itself.

    Parameters are converted as SQLAlchemy converts them; columns are what asyncpg makes of them.
    None has an `expanding` parameter, whose number of values would change the statement, or one with
    the name of a column that an UPDATE in it could write: SQLAlchemy would write that column too.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement

    @property
    def executable(self) -> Executable:
        """The statement for a connection of SQLAlchemy."""
        if not isinstance(self._statement, Executable):
            raise TypeError("no statement")
        return self._statement

    async def first(
        self, driver_connection: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Any | None:
        """Return the first row, with its columns as attributes; None if there is none.

        Raises:
            asyncpg.PostgresError: the server refuses it. Other errors of asyncpg, and OSError, may
                come instead; SQLAlchemy does not see any of them.
        """
        sql, values = self._given(parameters)
        record = await driver_connection.fetchrow(sql, *values)
        return None if record is None else self._row(record)

    async def all(
        self, driver_connection: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> list[Any]:
        """Return all rows, as `first` returns one, and raise as it does."""
        sql, values = self._given(parameters)
        return [self._row(record) for record in await driver_connection.fetch(sql, *values)]

    def _given(self, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
        sql, binds, constants = self._compiled
        values = {**constants, **parameters}
        return sql, [
            values[name] if convert is None else convert(values[name]) for name, convert in binds
        ]

    @cached_property
    def _compiled(self) -> tuple[str, Sequence[_Bind], Mapping[str, Any]]:
        dialect: Any = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]
        compiled: Any = self._statement.compile(dialect=dialect)
        unset = {name: None for name, bind in compiled.binds.items() if bind.required}
        state = compiled.construct_expanded_state(unset)
        converts = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        # A name that is not there is one value of a list such as that of IN.
        binds = tuple((name, converts.get(name)) for name in state.positiontup)
        return state.statement, binds, state.parameters

    def _row(self, record: asyncpg.Record) -> Any:
        if self._row_type is None:
            self._row_type = namedtuple("Row", tuple(record.keys()))  # type: ignore[misc]  # noqa: PYI024 (of the columns)
        return self._row_type(*record)

    _row_type: Any = None


def driver_connection_of(connection: object) -> asyncpg.Connection | None:
    """Return asyncpg's connection under one of SQLAlchemy; None if statements must go through that.

    That is so for other drivers, and where the bot lets SQLAlchemy rename schemas.
    """
    if not isinstance(connection, AsyncConnection) or connection.sync_connection is None:
        return None
    if connection.dialect.driver != "asyncpg":
        return None
    if connection.sync_connection.get_execution_options().get("schema_translate_map"):
        return None
    return connection.sync_connection.connection.driver_connection
