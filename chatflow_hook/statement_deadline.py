"""A deadline for all statements of a turn together, kept by the server's own time limits."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy import CursorResult, Executable, Row, text

_LOCK_TIMEOUT_MS = 500
# With less time than this left, no statement is started: a rollback to the savepoint needs time too.
_MIN_REMAINING_S = 0.1
# The server's limit may exceed the time that is left by this much before it is set again. On a fast
# database it is therefore set only once.
_TOLERANCE_S = 0.05

# OFFSET 0 keeps PostgreSQL from merging the inner query into the outer one, so that it reads the
# values from before set_config.
_SET_LIMITS = text(
    """
    SELECT lock, statement, isolation,
           set_config('lock_timeout', :lock_ms, true),
           set_config('statement_timeout', :statement_ms, true)
    FROM (SELECT current_setting('lock_timeout') AS lock,
                 current_setting('statement_timeout') AS statement,
                 current_setting('transaction_isolation') AS isolation OFFSET 0) AS before
    """
)
_RESTORE_LIMITS = text(
    "SELECT set_config('lock_timeout', :lock, true),"
    " set_config('statement_timeout', :statement, true)"
)


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
    `restore_limits`.
    """

    def __init__(
        self,
        connection: Executor,
        *,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._clock = clock
        self._limit_s = float("inf")
        self._earlier_limits: Row[Any] | None = None

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
        if self._limit_s - self._remaining_s() > _TOLERANCE_S:
            await self._set_limits(self._remaining_s())
            self._remaining_s()  # raises if setting the limits has taken the rest of the time
        return await self._connection.execute(query, parameters)

    async def restore_limits(self) -> None:
        """Restore the limits that the transaction had before; call it before a commit."""
        if self._earlier_limits is not None:
            limits = {
                "lock": self._earlier_limits.lock,
                "statement": self._earlier_limits.statement,
            }
            await self._connection.execute(_RESTORE_LIMITS, limits)

    def _remaining_s(self) -> float:
        remaining_s = self._deadline - self._clock()
        if remaining_s < _MIN_REMAINING_S:
            raise TimeoutError("the time of a turn is over")
        return remaining_s

    async def _set_limits(self, remaining_s: float) -> None:
        limits = {"lock_ms": str(_LOCK_TIMEOUT_MS), "statement_ms": str(int(remaining_s * 1000))}
        row = (await self._connection.execute(_SET_LIMITS, limits)).one()
        self._earlier_limits = self._earlier_limits or row
        self._limit_s = remaining_s
