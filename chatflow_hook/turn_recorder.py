"""Records a turn, in the bot's transaction or in one of the hook's own, within the time of a turn."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import counting, outbox
from chatflow_hook.batches import Batches
from chatflow_hook.counter_check import CounterCheck
from chatflow_hook.database import DATABASE_ERRORS, Database
from chatflow_hook.direct_query import driver_connection_of
from chatflow_hook.failures import NO_COUNT, FailureLog, cause_of
from chatflow_hook.metrics import GuardedMetrics, TurnOutcome
from chatflow_hook.outbox import (
    CountState,
    DialogUnknownError,
    Ownership,
    PendingTurn,
    Request,
    TriggerSettings,
)
from chatflow_hook.sessions import BotConnection
from chatflow_hook.statement_deadline import DeadlineConnection, Executor
from chatflow_hook.turn import MAX_PERSONA, Turn

log = structlog.get_logger(__name__)

# How much shorter the limit for the statements of a turn is, so that the server ends a slow
# statement before the hook gives the connection up.
STATEMENTS_END_EARLIER_S = 0.1
# Turns that are counted together, and how many such batches run at the same time. If a trigger of the
# bot's takes 10 ms for each row, a batch is still over in time.
_BATCH = 25
_BATCHES_AT_ONCE = 4

TurnCounts = Batches[PendingTurn, bool]


class TurnRecorder:
    """Records turns; a failure is logged, and then nothing of the turn is kept.

    Only a message whose turn's time is over while it is counted may be counted all the same.
    `timeout_s` is the time of one turn, in seconds. May be used in several threads.
    """

    def __init__(
        self,
        settings: TriggerSettings,
        *,
        timeout_s: float,
        failures: FailureLog,
        metrics: GuardedMetrics,
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._timeout_s = timeout_s
        self._failures = failures
        self._counter_check = CounterCheck()
        # Read from the schema at the first turn; see `_record`.
        self._ownership: Ownership | None = None

    def is_recordable(self, turn: Turn) -> bool:
        """Whether a turn is counted or has to be read; one that should be and cannot is logged."""
        self._failures.log_overdue()
        if turn.is_refresh and not outbox.may_speak_of_a_minor(turn):
            return False
        if turn.message_count is not None and turn.message_count < 1:
            self._failures.log_failure(turn, NO_COUNT, time.monotonic())
            self._metrics.turn(TurnOutcome.FAILED, 0.0)
            return False
        return True

    async def record_in_session(
        self, connection: BotConnection, turn: Turn, *, started: float
    ) -> Request | None:
        """Record a turn in a savepoint of the bot's transaction; None also if that failed.

        `started` is the start of the turn, of `time.monotonic`.
        """
        started_statements = time.monotonic()
        try:
            async with connection.begin_nested():
                limited = self.limited(
                    connection,
                    started=started_statements,
                    driver_connection=driver_connection_of(connection),
                )
                request = await self._record(limited, turn, self._messages_needed())
                await limited.restore_limits()
        except (*DATABASE_ERRORS, DialogUnknownError) as error:
            self._failures.log_failure(turn, cause_of(error), started, error)
            self._metrics.turn(TurnOutcome.FAILED, time.monotonic() - started)
            return None
        if limited.is_serializable:
            self._failures.warn_of_serializable()
        self._note_success(turn, request, started)
        return request

    def counts_on(self, database: Database) -> TurnCounts:
        """Return what counts turns on a database, those together that come at the same time."""
        return Batches(
            partial(self._count_together, database), at_once=_BATCHES_AT_ONCE, most=_BATCH
        )

    async def record_in_own_transaction(
        self, database: Database, counts: TurnCounts, turn: Turn, *, started: float
    ) -> Request | None:
        """Record a turn in a transaction of the hook's own; None also if that failed.

        `counts` are those on this database.
        """
        # One for both, so that a turn that is decided twice is decided alike.
        messages_needed = self._messages_needed()

        async def step(connection: AsyncConnection) -> Request | None:
            limited = self.limited(connection, started=started)
            return await self._record(limited, turn, messages_needed)

        pending = PendingTurn(
            turn=turn,
            messages_needed=messages_needed,
            deadline=started + self._timeout_s - STATEMENTS_END_EARLIER_S,
        )
        request = None
        try:
            async with asyncio.timeout(self._timeout_s):
                if turn.is_refresh or not await counts.result(pending):
                    request = await database.run(step)
        except (*DATABASE_ERRORS, DialogUnknownError) as error:
            self._failures.log_failure(turn, cause_of(error), started, error)
            self._metrics.turn(TurnOutcome.FAILED, time.monotonic() - started)
            return None
        self._note_success(turn, request, started)
        return request

    async def ownership(self, connection: Executor) -> Ownership:
        """Return which parts of `dialogs` are ours."""
        return self._ownership or await outbox.read_ownership(connection)

    def limited(
        self, connection: Executor, *, started: float, **options: Any
    ) -> DeadlineConnection:
        """Return the connection with the statements' share of a turn's time as its limit."""
        deadline = started + self._timeout_s - STATEMENTS_END_EARLIER_S
        return DeadlineConnection(connection, deadline=deadline, **options)

    def _messages_needed(self) -> Callable[[], int]:
        """Return what draws the distance of a turn when it is first needed, and then keeps it."""
        return cache(partial(self._settings.distance.drawn, self._settings.chance))

    def _note_success(self, turn: Turn, request: Request | None, started: float) -> None:
        outcome = TurnOutcome.COUNTED if request is None else TurnOutcome.REQUESTED
        self._metrics.turn(outcome, time.monotonic() - started)
        if request is not None:
            _log_trigger(turn, request)

    async def _count_together(
        self, database: Database, pending: Sequence[PendingTurn]
    ) -> Sequence[bool | Exception]:
        """Count turns where that is enough, and return which were counted.

        If it fails, those that were not counted go on in transactions of their own, and fail by
        themselves. An error is returned for a turn of which it is unknown whether it was counted,
        and whose message would not be recognised if it was counted once more.
        """

        async def step(connection: AsyncConnection) -> None:
            driver_connection = driver_connection_of(connection)
            if driver_connection is None:
                return
            ownership = self._ownership or await outbox.read_ownership_directly(driver_connection)
            await outbox.count_together(
                driver_connection,
                pending,
                ownership=ownership,
                settings=self._settings,
                counter_check=self._counter_check,
            )
            self._ownership = ownership

        # Of the youngest: each caller ends with its own time, and takes nobody's with it.
        left_s = max(each.deadline for each in pending) - time.monotonic()
        failure: Exception = TimeoutError()
        try:
            async with asyncio.timeout(left_s):
                await database.run_autocommitted(step)
        except DATABASE_ERRORS as error:
            failure = error
        return [
            failure
            if each.state is CountState.UNKNOWN and not counting.is_known_again(each.turn)
            else each.state is CountState.COUNTED
            for each in pending
        ]

    async def _record(
        self, connection: DeadlineConnection, turn: Turn, messages_needed: Callable[[], int]
    ) -> Request | None:
        ownership = await self.ownership(connection)
        request = await outbox.record(
            connection,
            turn,
            ownership=ownership,
            settings=self._settings,
            messages_needed=messages_needed,
            counter_check=self._counter_check,
        )
        # Kept only after the statements succeeded. Before the migrations have run they fail, and
        # what was read of the schema until then would be wrong afterwards.
        self._ownership = ownership
        return request


def _log_trigger(turn: Turn, request: Request) -> None:
    log.info(
        "picture triggered",
        dialog_id=request.dialog_id,
        persona=turn.persona[:MAX_PERSONA],
        message_count=request.message_count,
        request_id=str(request.id),
    )
