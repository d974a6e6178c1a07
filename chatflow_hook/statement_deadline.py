"""A deadline for all statements of a turn together, kept by the server's own time limits."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import asyncpg
from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Executable,
    Text,
    bindparam,
    func,
    select,
    text,
    true,
)

from chatflow_hook.direct_query import DirectQuery

LOCK_TIMEOUT_MS = 500
# With less time than this left, no statement is started: a rollback to the savepoint needs time too.
_MIN_REMAINING_S = 0.1
# The server's limit may exceed the time that is left by this much before it is set again. On a fast
# database it is therefore set only once.
_TOLERANCE_S = 0.05

# OFFSET 0 keeps PostgreSQL from merging the inner query into the outer one, so that it reads the
# values from before set_config.
_SET_LIMITS = DirectQuery(
    text(
        """
        SELECT lock, statement, isolation,
               set_config('lock_timeout', :lock_ms, true) AS new_lock,
               set_config('statement_timeout', :statement_ms, true) AS new_statement
        FROM (SELECT current_setting('lock_timeout') AS lock,
                     current_setting('statement_timeout') AS statement,
                     current_setting('transaction_isolation') AS isolation OFFSET 0) AS before
        """
    ).bindparams(bindparam("lock_ms", type_=Text), bindparam("statement_ms", type_=Text))
)
# What a statement returns that is the last one; see `DeadlineConnection.first_and_last`.
RESTORED_LIMITS: tuple[ColumnElement[str], ...] = (
    func.set_config("lock_timeout", bindparam("lock", type_=Text), true()).label("lock"),
    func.set_config("statement_timeout", bindparam("statement", type_=Text), true()).label(
        "statement"
    ),
)
_RESTORE_LIMITS = DirectQuery(select(*RESTORED_LIMITS))


class Executor(Protocol):
    """What executes a statement: a connection, or a DeadlineConnection around one."""

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None, /
    ) -> CursorResult[Any]: ...


class DeadlineConnection:
    """Limits each statement to the time that is left until `deadline`, in seconds of `clock`.

    The limits are `statement_timeout` and `lock_timeout` of the server. The bot's connection cannot
    be closed in the middle of a statement; only the server can end the statement and leave the
    transaction usable. A rollback restores the earlier limits; before a commit, call
    `restore_limits`. `driver_connection` is asyncpg's under `connection`, on which `first` runs; None
    if there is none.
    """

    def __init__(
        self,
        connection: Executor,
        *,
        deadline: float,
        driver_connection: asyncpg.Connection | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._driver_connection = driver_connection
        self._deadline = deadline
        self._clock = clock
        self._limit_s = float("inf")
        self._earlier_limits: Any | None = None
        self._are_restored = False

    @property
    def is_serializable(self) -> bool:
        """Whether the transaction is serializable, so that its commit may fail.

        Known after the first statement, and False before.
        """
        limits = self._earlier_limits
        return limits is not None and limits.isolation == "serializable"

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Execute a statement within the time that is left.

        Raises:
            TimeoutError: less than 0.1 s is left.
        """
        await self._limit()
        return await self._connection.execute(query, parameters)

    async def first(self, query: DirectQuery, parameters: Mapping[str, Any]) -> Any | None:
        """Return the first row of a statement, executed within the time that is left; None if none.

        Raises:
            TimeoutError: less than 0.1 s is left.
        """
        await self._limit()
        return await self._first(query, parameters)

    async def first_and_last(self, query: DirectQuery, parameters: Mapping[str, Any]) -> Any | None:
        """Do as `first` with a statement that also returns RESTORED_LIMITS, and so restores them.

        If it returns no row they are not restored, and further statements may follow.

        Raises:
            TimeoutError: less than 0.1 s is left.
        """
        await self._limit()
        row = await self._first(query, {**parameters, **self._limits_to_restore()})
        self._are_restored = row is not None
        return row

    async def restore_limits(self) -> None:
        """Restore the limits that the transaction had before; call it before a commit."""
        if self._earlier_limits is not None and not self._are_restored:
            await self._first(_RESTORE_LIMITS, self._limits_to_restore())

    def _limits_to_restore(self) -> dict[str, str]:
        if self._earlier_limits is None:
            raise RuntimeError("no limits were set")
        return {"lock": self._earlier_limits.lock, "statement": self._earlier_limits.statement}

    async def _limit(self) -> None:
        if self._limit_s - self._remaining_s() > _TOLERANCE_S:
            await self._set_limits(self._remaining_s())
            self._remaining_s()  # raises if setting the limits has taken the rest of the time

    async def _first(self, query: DirectQuery, parameters: Mapping[str, Any]) -> Any | None:
        if self._driver_connection is not None:
            return await query.first(self._driver_connection, parameters)
        return (await self._connection.execute(query.executable, parameters)).first()

    def _remaining_s(self) -> float:
        remaining_s = self._deadline - self._clock()
        if remaining_s < _MIN_REMAINING_S:
            raise TimeoutError("the time of a turn is over")
        return remaining_s

    async def _set_limits(self, remaining_s: float) -> None:
        limits = {"lock_ms": str(LOCK_TIMEOUT_MS), "statement_ms": str(int(remaining_s * 1000))}
        row = await self._first(_SET_LIMITS, limits)
        self._earlier_limits = self._earlier_limits or row
        self._limit_s = remaining_s
