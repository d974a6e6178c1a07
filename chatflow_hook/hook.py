"""ChatFlowHook: what a bot calls at each turn of a conversation."""

import asyncio
import random
import time
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from chatflow_hook import cause, database, forgetting, outbox, picture, transaction, withdrawal
from chatflow_hook.cause import Cause
from chatflow_hook.doorbell import Doorbell
from chatflow_hook.forgetting import Forgotten
from chatflow_hook.hurry import Hurried
from chatflow_hook.outbox import DialogUnknownError, Ownership, Request
from chatflow_hook.picture import Picture
from chatflow_hook.settings import HookSettings, read
from chatflow_hook.tables import ImageRequest, State
from chatflow_hook.throttle import Throttle
from chatflow_hook.turn import MAX_PERSONA, Turn

log = structlog.get_logger(__name__)

# A picture may come late; the answer in the chat may not.
_PATIENCE_S = 0.9
# The server ends a statement a little sooner than we give up the connection.
_STATEMENTS_S = 0.8
# How often `wait` looks at the row when Redis is silent.
_LOOK_EVERY_S = 1.0
# How often the log says the same.
_SAY_EVERY_S = 60.0


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
        self._throttle = Throttle(every_s=_SAY_EVERY_S)
        self._warned_of_serializable = False

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
        self._tell_of(self._throttle.overdue())
        if turn.is_refresh:
            return None
        started = time.monotonic()
        if turn.message_count is not None and turn.message_count < 1:
            self._tell(turn, cause.NO_COUNT, started)
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

    async def cancel(self, request: Request) -> bool:
        """Call a picture off, and return whether it was still open. Raises DatabaseFault.

        The worker stops drawing it within seconds; a photo whose send is under way may yet come.
        """
        ended = await transaction.run(
            self._engine, lambda own: withdrawal.cancel(own, ImageRequest.id == request.id)
        )
        await self._doorbell.hush(ended)
        return bool(ended)

    async def forget_user(self, user_id: int) -> Forgotten:
        """Erase everything of a user, and say what is beyond reach. Raises DatabaseFault.

        Pictures are noted for the worker, who erases them. Nothing known of the user is no error.
        """
        erasure = await transaction.run(self._engine, lambda own: forgetting.erase(own, user_id))
        await self._doorbell.hush(erasure.request_ids)
        return erasure.told

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        self._tell_of(self._throttle.rest())
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

    async def _in_transaction_of(
        self, session: AsyncSession, turn: Turn, started: float
    ) -> Request | None:
        # What the bot has pending fails as the bot's own, here as at its commit.
        await session.flush()
        connection = await session.connection()
        hurried = Hurried(connection, deadline=time.monotonic() + _STATEMENTS_S)
        try:
            async with connection.begin_nested():
                request = await self._record(hurried, turn)
                await hurried.take_time()
        except (*database.FAULTS, DialogUnknownError) as error:
            self._tell(turn, cause.of(error), started, error)
            return None
        if hurried.is_serializable:
            self._warn_of_serializable()
        _log_trigger(turn, request)
        return request

    async def _in_own_transaction(self, turn: Turn, started: float) -> Request | None:
        try:
            async with asyncio.timeout(_PATIENCE_S), self._engine.begin() as connection:
                hurried = Hurried(connection, deadline=started + _STATEMENTS_S)
                request = await self._record(hurried, turn)
        except (*database.FAULTS, DialogUnknownError) as error:
            self._tell(turn, cause.of(error), started, error)
            return None
        _log_trigger(turn, request)
        return request

    async def _record(self, connection: Hurried, turn: Turn) -> Request | None:
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

    def _tell(
        self, turn: Turn, why: Cause, started: float, error: BaseException | None = None
    ) -> None:
        untold = self._throttle.admit(why.sentence)
        if untold is None:
            return
        # The type and the database's code, never its words: they may quote what people wrote.
        (log.error if why.lasts else log.warning)(
            "turn not recorded",
            why=why.sentence,
            dialog_id=turn.dialog_id,
            error=error and type(error).__name__,
            sqlstate=error and cause.sqlstate(error),
            seconds=round(time.monotonic() - started, 3),
            untold=untold,
        )

    def _tell_of(self, unsaid: dict[str, int]) -> None:
        for why, count in unsaid.items():
            log.warning("turns not recorded", why=why, count=count)

    def _warn_of_serializable(self) -> None:
        if not self._warned_of_serializable:
            self._warned_of_serializable = True
            log.warning(
                "session is serializable",
                advice="its commit may fail beside another turn's: run it again then",
            )


def _log_trigger(turn: Turn, request: Request | None) -> None:
    if request is not None:
        log.info(
            "picture triggered",
            dialog_id=request.dialog_id,
            persona=turn.persona[:MAX_PERSONA],
            message_count=request.message_count,
            request_id=str(request.id),
        )
