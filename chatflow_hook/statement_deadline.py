"""A connection in a hurry: all that runs on it shares one budget of time."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy import CursorResult, Executable, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK_TIMEOUT_MS = 500
# With less than this left nothing is begun: the limit holds for the way back to the savepoint too.
_LEAST_S = 0.1
# The limit in force may be this much too generous; on a fast database it is so set only once.
_SLACK_S = 0.05

# OFFSET 0 keeps the inner query apart, so that it reads the values from before.
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
    """What runs a statement: a connection, or one in a hurry."""

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None, /
    ) -> CursorResult[Any]: ...


class DeadlineConnection:
    """Gives each statement what is left until `deadline`, by the server's own limits.

    A connection of somebody else can't be given up in the middle of a statement: only the server
    can end that and leave the transaction in order. A rollback puts the old limits back by itself.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._clock = clock
        self._limit_s = float("inf")
        self._before: Row[Any] | None = None

    @property
    def is_serializable(self) -> bool:
        """Whether the transaction may fail at its commit; known after the first statement."""
        return self._before is not None and self._before.isolation == "serializable"

    async def execute(
        self, query: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Execute within what is left.

        Raises:
            TimeoutError: less than 0.1 s is left.
        """
        if self._limit_s - self._left() > _SLACK_S:
            await self._limit(self._left())
            self._left()  # the limiting may have taken all of it
        return await self._connection.execute(query, parameters)

    async def take_time(self) -> None:
        """Put the limits back that were there before."""
        if self._before is not None:
            limits = {"lock": self._before.lock, "statement": self._before.statement}
            await self._connection.execute(_RESTORE_LIMITS, limits)

    def _left(self) -> float:
        left = self._deadline - self._clock()
        if left < _LEAST_S:
            raise TimeoutError("the time of a turn is over")
        return left

    async def _limit(self, left_s: float) -> None:
        limits = {"lock_ms": str(_LOCK_TIMEOUT_MS), "statement_ms": str(int(left_s * 1000))}
        row = (await self._connection.execute(_SET_LIMITS, limits)).one()
        self._before = self._before or row
        self._limit_s = left_s
