"""ChatFlowHook: what a bot calls at each turn of a conversation."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from chatflow_hook import database, outbox, picture
from chatflow_hook.doorbell import Doorbell
from chatflow_hook.outbox import DialogUnknownError, Ownership, Request
from chatflow_hook.picture import Picture
from chatflow_hook.settings import HookSettings, read
from chatflow_hook.tables import ImageRequest, State
from chatflow_hook.turn import Turn

log = structlog.get_logger(__name__)

# A picture may come late; the answer in the chat may not.
_PATIENCE_S = 0.9
_LOCK_TIMEOUT_MS = 500
_STATEMENT_TIMEOUT_MS = 800
# How often `wait` looks at the row when Redis is silent.
_LOOK_EVERY_S = 1.0

# OFFSET 0 keeps the inner query apart, so that it reads the values from before.
_HURRY = text(
    """
    SELECT lock, statement,
           set_config('lock_timeout', :lock_ms, true),
           set_config('statement_timeout', :statement_ms, true)
    FROM (SELECT current_setting('lock_timeout') AS lock,
                 current_setting('statement_timeout') AS statement OFFSET 0) AS before
    """
)
_TAKE_TIME = text(
    "SELECT set_config('lock_timeout', :lock, true),"
    " set_config('statement_timeout', :statement, true)"
)


class ChatFlowHook:
    """Decides that a picture is due and asks the worker for it, never at the chat's expense.

    Safe to share between the handlers of a bot; close it at the end.
    """

    def __init__(self, settings: HookSettings, *, chance: random.Random | None = None) -> None:
        self._distance = settings.distance
        self._chance = chance or random.SystemRandom()
        self._engine = database.connect(settings.database)
        self._doorbell = Doorbell(
            settings.redis, broker_db=settings.redis_broker_db, result_db=settings.redis_result_db
        )
        self._owned: Ownership | None = None

    @classmethod
    def from_env(cls) -> Self:
        """Read DATABASE_URL, REDIS_* and IMAGE_TRIGGER_*; touch no network. Raises BadSetting."""
        return cls(read(HookSettings))

    async def on_turn(self, turn: Turn, session: AsyncSession | None = None) -> Request | None:
        """Count the turn's message; return a request if a picture is due.

        With a `session` everything happens in a savepoint of its transaction: call this last
        before the commit, and `enqueue` after it. Without one, both are done here. A fault of
        ours is logged and gives None, within a second; the transaction stays usable.
        """
        if session is not None and not isinstance(session, AsyncSession):
            raise TypeError(f"session must be an AsyncSession, not {type(session).__name__}")
        if turn.is_refresh:
            return None
        if session is not None:
            return await self._in_transaction_of(session, turn)
        deadline = time.monotonic() + _PATIENCE_S
        request = await self._in_own_transaction(turn)
        if request is not None:
            await self._doorbell.ring(request.id, within_s=deadline - time.monotonic())
        return request

    async def enqueue(self, request: Request | None) -> None:
        """Ring for a committed request; None is fine, and so is a Redis that is down."""
        if request is not None:
            await self._doorbell.ring(request.id, within_s=_PATIENCE_S)

    async def wait(self, request: Request, *, timeout: float) -> Picture:  # noqa: ASYNC109 (ours)
        """Return the picture once its request has ended, or what is known after `timeout` s.

        Raises LookupError if there is no such request (its transaction was rolled back), and
        TimeoutError if the database could not be asked.
        """
        deadline = time.monotonic() + timeout
        async with self._doorbell.listening(request.id) as ear:
            while True:
                seen = await self._look(request)
                left = deadline - time.monotonic()
                if seen is not None and (left <= 0 or not seen.state.is_open):
                    return seen
                if left <= 0:
                    raise TimeoutError("the database does not answer")
                await ear.wait(min(left, _LOOK_EVERY_S))

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        await self._doorbell.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _in_transaction_of(self, session: AsyncSession, turn: Turn) -> Request | None:
        # What the bot has pending fails as the bot's own, here as at its commit.
        await session.flush()
        connection = await session.connection()
        started = time.monotonic()
        try:
            async with connection.begin_nested(), _in_a_hurry(connection):
                request = await self._record(connection, turn)
        except (*database.FAULTS, DialogUnknownError) as error:
            _log_fault(turn, error, started)
            return None
        _log_trigger(turn, request)
        return request

    async def _in_own_transaction(self, turn: Turn) -> Request | None:
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(_PATIENCE_S),
                self._engine.begin() as connection,
                _in_a_hurry(connection),
            ):
                request = await self._record(connection, turn)
        except (*database.FAULTS, DialogUnknownError) as error:
            _log_fault(turn, error, started)
            return None
        _log_trigger(turn, request)
        return request

    async def _record(self, connection: AsyncConnection, turn: Turn) -> Request | None:
        owned = self._owned or await outbox.ownership(connection)
        request = await outbox.record(
            connection, turn, owned=owned, distance=self._distance, chance=self._chance
        )
        # Remembered only now: before a migration has added what is missing, all of this fails.
        self._owned = owned
        return request

    async def _look(self, request: Request) -> Picture | None:
        query = picture.QUERY.where(ImageRequest.id == request.id)
        try:
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        except database.FAULTS as error:
            log.warning("database away", request_id=str(request.id), error=type(error).__name__)
            return None
        if row is None:
            raise LookupError(f"there is no request {request.id}")
        return Picture(**{**row._asdict(), "state": State(row.state)})


@asynccontextmanager
async def _in_a_hurry(connection: AsyncConnection) -> AsyncIterator[None]:
    # A rollback puts the old limits back by itself.
    before = (
        await connection.execute(
            _HURRY,
            {"lock_ms": str(_LOCK_TIMEOUT_MS), "statement_ms": str(_STATEMENT_TIMEOUT_MS)},
        )
    ).one()
    yield
    await connection.execute(_TAKE_TIME, {"lock": before.lock, "statement": before.statement})


def _log_trigger(turn: Turn, request: Request | None) -> None:
    if request is not None:
        log.info(
            "picture triggered",
            dialog_id=request.dialog_id,
            persona=turn.persona,
            message_count=request.message_count,
            request_id=str(request.id),
        )


def _log_fault(turn: Turn, error: BaseException, started: float) -> None:
    # The type and the database's code, never the statement: its parameters hold chat text.
    cause = getattr(error, "orig", None)
    log.error(
        "turn not recorded",
        dialog_id=turn.dialog_id,
        error=type(error).__name__,
        sqlstate=getattr(cause, "sqlstate", None),
        seconds=round(time.monotonic() - started, 3),
    )
