"""ChatFlowHook: what a bot calls at each turn of a conversation."""

import asyncio
import random
import time
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from chatflow_hook import (
    age_confirmation,
    cancellation,
    covers,
    database,
    outbox,
    picture,
    user_erasure,
)
from chatflow_hook.failures import NO_COUNT, FailureLog, cause_of
from chatflow_hook.manual_requests import ManualRequests
from chatflow_hook.outbox import DialogUnknownError, Ownership, Request, Terms
from chatflow_hook.picture import Picture
from chatflow_hook.queue import QueueClient
from chatflow_hook.quota import Limited
from chatflow_hook.settings import HookSettings, read
from chatflow_hook.statement_deadline import DeadlineConnection
from chatflow_hook.tables import ImageRequest, State
from chatflow_hook.turn import MAX_PERSONA, Turn
from chatflow_hook.user_erasure import Forgotten

log = structlog.get_logger(__name__)

# A picture may come late; the answer in the chat may not.
_PATIENCE_S = 0.9
# The server ends a statement a little sooner than we give up the connection.
_STATEMENTS_S = 0.8
# How often `wait` looks at the row when Redis is silent.
_LOOK_EVERY_S = 1.0


class ChatFlowHook:
    """Decides that a picture is due and asks the worker for it, never at the chat's expense.

    Safe to share between the handlers of a bot; close it at the end.
    """

    def __init__(self, settings: HookSettings, *, chance: random.Random | None = None) -> None:
        self._terms = Terms(
            distance=settings.distance,
            allowance=settings.allowance,
            chance=chance or random.SystemRandom(),
        )
        self._asking = ManualRequests(allowance=settings.allowance)
        self._age_text = settings.age_text_version
        self._engine = database.connect(settings.database)
        self._doorbell = QueueClient(
            settings.redis, broker_db=settings.redis_broker_db, result_db=settings.redis_result_db
        )
        self._owned: Ownership | None = None
        self._complaints = FailureLog()

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
        self._complaints.overdue()
        if turn.is_refresh:
            return None
        started = time.monotonic()
        if turn.message_count is not None and turn.message_count < 1:
            self._complaints.of(turn, NO_COUNT, started)
            return None
        if session is not None:
            return await self._in_transaction_of(session, turn, started)
        request = await self._in_own_transaction(turn, started)
        if request is not None:
            left_s = started + _PATIENCE_S - time.monotonic()
            await self._doorbell.ring(request.id, within_s=left_s)
        return request

    async def enqueue(self, request: Request | None) -> None:
        """Ring for a committed request; None is fine, and so is a Redis that is down."""
        if request is not None:
            await self._doorbell.ring(request.id, within_s=_PATIENCE_S)

    async def wait(self, request: Request, *, timeout: float) -> Picture:  # noqa: ASYNC109 (ours)
        """Return the picture once its request has ended, or what is known after `timeout` s.

        Raises LookupError if there is no such request (rolled back, or its user forgotten), and
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

    async def ask(self, turn: Turn) -> Request | Limited:
        """Ask for a picture of this turn now, or say when the next one is free.

        The turn's message is not counted. Raises DatabaseFault and DialogUnknownError.
        """

        async def step(own: AsyncConnection) -> Request | Limited:
            owned = self._owned or await outbox.ownership(own)
            return await self._asking.ask(own, turn, owned=owned)

        return await self._rung(await database.run_in_transaction(self._engine, step))

    async def vary(self, request_id: UUID) -> Request | Limited:
        """Ask for another picture of a delivered one's scene, or say when the next one is free.

        Raises NothingToVary and DatabaseFault.
        """
        asked = await database.run_in_transaction(
            self._engine, lambda own: self._asking.vary(own, request_id)
        )
        return await self._rung(asked)

    async def on_dialog_start(self, turn: Turn) -> Request | None:
        """Send one of the persona's covers, another one than last time.

        None where there is no other, or after a fault of ours. Nothing is counted, and the
        turn's text may be empty.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S), self._engine.begin() as connection:
                hurried = DeadlineConnection(connection, deadline=started + _STATEMENTS_S)
                request = await covers.send_one(hurried, turn, chance=self._terms.chance)
        except database.DATABASE_ERRORS as error:
            self._complaints.of(turn, cause_of(error), started, error)
            return None
        if request is not None:
            await self.enqueue(request)
        return request

    async def confirm_age(self, user_id: int, *, language: str | None = None) -> None:
        """Note that a user has confirmed to be of age, to the present AGE_TEXT_VERSION.

        Raises DatabaseFault.
        """
        query = age_confirmation.confirm(user_id, text_version=self._age_text, language=language)
        await database.run_in_transaction(self._engine, lambda own: own.execute(query))

    async def revoke_age(self, user_id: int) -> None:
        """Note that it does not hold any more, also for what is under way. Raises DatabaseFault."""
        await database.run_in_transaction(
            self._engine, lambda own: own.execute(age_confirmation.revoke(user_id))
        )

    async def has_confirmed_age(self, user_id: int) -> bool:
        """Say whether a user has confirmed the present text; if not, ask. Raises DatabaseFault."""
        query = age_confirmation.is_confirmed(user_id, text_version=self._age_text)

        async def step(own: AsyncConnection) -> bool:
            return (await own.execute(query)).scalar_one()

        return await database.run_in_transaction(self._engine, step)

    async def cancel(self, request: Request) -> bool:
        """Call a picture off, and return whether it was still open. Raises DatabaseFault.

        The worker stops drawing it within seconds; a photo whose send is under way may yet come.
        """
        ended = await database.run_in_transaction(
            self._engine, lambda own: cancellation.cancel(own, ImageRequest.id == request.id)
        )
        await self._doorbell.hush(ended)
        return bool(ended)

    async def forget_user(self, user_id: int) -> Forgotten:
        """Erase everything of a user, and say what is beyond reach. Raises DatabaseFault.

        Pictures are noted for the worker, who erases them. Nothing known of the user is no error.
        Raises ValueError for 0, under which covers are kept.
        """
        erasure = await database.run_in_transaction(
            self._engine, lambda own: user_erasure.erase(own, user_id)
        )
        await self._doorbell.hush(erasure.request_ids)
        return erasure.told

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        self._complaints.rest()
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

    async def _rung(self, asked: Request | Limited) -> Request | Limited:
        if isinstance(asked, Request):
            await self.enqueue(asked)
        return asked

    async def _in_transaction_of(
        self, session: AsyncSession, turn: Turn, started: float
    ) -> Request | None:
        # What the bot has pending fails as the bot's own, here as at its commit.
        await session.flush()
        connection = await session.connection()
        hurried = DeadlineConnection(connection, deadline=time.monotonic() + _STATEMENTS_S)
        try:
            async with connection.begin_nested():
                request = await self._record(hurried, turn)
                await hurried.take_time()
        except (*database.DATABASE_ERRORS, DialogUnknownError) as error:
            self._complaints.of(turn, cause_of(error), started, error)
            return None
        if hurried.is_serializable:
            self._complaints.of_serializable()
        _log_trigger(turn, request)
        return request

    async def _in_own_transaction(self, turn: Turn, started: float) -> Request | None:
        try:
            async with asyncio.timeout(_PATIENCE_S), self._engine.begin() as connection:
                hurried = DeadlineConnection(connection, deadline=started + _STATEMENTS_S)
                request = await self._record(hurried, turn)
        except (*database.DATABASE_ERRORS, DialogUnknownError) as error:
            self._complaints.of(turn, cause_of(error), started, error)
            return None
        _log_trigger(turn, request)
        return request

    async def _record(self, connection: DeadlineConnection, turn: Turn) -> Request | None:
        owned = self._owned or await outbox.ownership(connection)
        request = await outbox.record(connection, turn, owned=owned, terms=self._terms)
        # Remembered only now: before a migration has added what is missing, all of this fails.
        self._owned = owned
        return request

    async def _look(self, request: Request) -> Picture | None:
        query = picture.QUERY.where(ImageRequest.id == request.id)
        try:
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        except database.DATABASE_ERRORS as error:
            log.warning("database away", request_id=str(request.id), error=type(error).__name__)
            return None
        if row is None:
            raise LookupError(f"there is no request {request.id}")
        return Picture(**{**row._asdict(), "state": State(row.state)})


def _log_trigger(turn: Turn, request: Request | None) -> None:
    if request is not None:
        log.info(
            "picture triggered",
            dialog_id=request.dialog_id,
            persona=turn.persona[:MAX_PERSONA],
            message_count=request.message_count,
            request_id=str(request.id),
        )
