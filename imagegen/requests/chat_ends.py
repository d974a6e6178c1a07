"""Which ends of requests a chat has to be told: the rows that have ended and were not told yet.

A row is taken before its chat is told, so that of several workers one tells it, once at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, and_, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.messages import WITHOUT_PICTURE
from chatflow_hook.tables import ImageRequest, State
from imagegen.db.engine import all_rows, one_or_none, run_statement
from imagegen.requests.claim import StatusMessage

# A job that has ended a request tells its chat itself; others look after so long.
_AFTER = timedelta(seconds=2)
# Later than that nobody waits for it any more.
_WITHIN = timedelta(minutes=15)
_MOST = 50

_HAS_STATUS = and_(
    ImageRequest.status_message_id.is_not(None),
    # A picture that has taken its place is no status any more.
    ImageRequest.status_message_id.is_distinct_from(ImageRequest.telegram_message_id),
)
_TO_BE_TOLD = and_(
    ImageRequest.finished_at.is_not(None),
    ImageRequest.chat_id.is_not(None),
    ImageRequest.chat_told_at.is_(None),
    # What only a newer version knows is told by that.
    ImageRequest.state.in_(set(State)),
    # Who cancels a request knows it.
    or_(_HAS_STATUS, ImageRequest.state.in_(WITHOUT_PICTURE - {State.CANCELLED})),
)
_TAKE = (
    update(ImageRequest)
    .where(ImageRequest.id == bindparam("request_id"), _TO_BE_TOLD)
    .values(chat_told_at=func.clock_timestamp())
    .returning(
        ImageRequest.kind,
        ImageRequest.state,
        ImageRequest.error_code,
        ImageRequest.language,
        ImageRequest.user_id,
        ImageRequest.chat_id,
        ImageRequest.reply_to_message_id,
        ImageRequest.message_thread_id,
        ImageRequest.status_is_protected,
        _HAS_STATUS.label("has_status"),
        ImageRequest.status_message_id,
    )
)
_GIVE_BACK = (
    update(ImageRequest)
    .where(ImageRequest.id == bindparam("request_id"), ImageRequest.finished_at.is_not(None))
    .values(chat_told_at=None)
)
_NOW = func.statement_timestamp()
# An end that is to be told now; `TIMES` is what this is asked with.
IS_DUE = and_(
    ImageRequest.finished_at >= _NOW - bindparam("within", type_=Interval()),
    ImageRequest.finished_at < _NOW - bindparam("after", type_=Interval()),
    _TO_BE_TOLD,
)
TIMES = {"within": _WITHIN, "after": _AFTER}
_DUE = DirectQuery(
    select(ImageRequest.id).where(IS_DUE).order_by(ImageRequest.finished_at).limit(_MOST)
)


@dataclass(frozen=True, kw_only=True)
class ChatEnd:
    """An end of which a chat was not told yet; `status` is the message that it replaces, if any."""

    kind: str
    state: State
    error_code: str | None
    language: str | None
    user_id: int
    chat_id: int
    reply_to_message_id: int | None
    message_thread_id: int | None
    status: StatusMessage | None


class ChatEnds:
    """Reads and marks the rows. All methods raise Unavailable if PostgreSQL cannot be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def take(self, request_id: UUID) -> ChatEnd | None:
        """Mark an end as told, and return it; None if there is none to tell, or it was told."""
        row = await run_statement(
            self._engine,
            lambda connection: one_or_none(connection, _TAKE, {"request_id": request_id}),
        )
        if row is None:
            return None
        status = None
        if row.has_status:
            status = StatusMessage(
                message_id=row.status_message_id, is_protected=row.status_is_protected
            )
        return ChatEnd(
            kind=row.kind,
            state=State(row.state),
            error_code=row.error_code,
            language=row.language,
            user_id=row.user_id,
            chat_id=row.chat_id,
            reply_to_message_id=row.reply_to_message_id,
            message_thread_id=row.message_thread_id,
            status=status,
        )

    async def give_back(self, request_id: UUID) -> None:
        """Mark an end as not told, so that it is told later."""
        values = {"request_id": request_id}
        await run_statement(self._engine, lambda connection: connection.execute(_GIVE_BACK, values))

    async def due(self) -> Sequence[UUID]:
        """Return the requests whose ends are to be told now, 50 at most, the oldest first."""
        return [row.id for row in await all_rows(self._engine, _DUE, TIMES)]
