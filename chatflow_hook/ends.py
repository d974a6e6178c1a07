"""Tells the bot of each request that has ended: Redis wakes it, and the rows are the truth.

An end is told until the bot has taken it, so at least once: what ends while the bot, Redis or
PostgreSQL is down is told afterwards. All processes of a bot share the ends: each end is told to
one of them, which has it for a limited time.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import Interval, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import picture
from chatflow_hook.cancellation import AnyRow
from chatflow_hook.database import Database, DatabaseFault
from chatflow_hook.failures import Throttle
from chatflow_hook.messages import Messages
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.tables import NOBODY, EndListening, ImageRequest, is_any_of
from chatflow_hook.waiting import EndListener

log = structlog.get_logger(__name__)

# How many ends a process tells at the same time.
AT_A_TIME = 10
# The only row of end_listening.
_THE_ROW = 1


@dataclass(frozen=True, kw_only=True)
class RequestEnd:
    """The end of a request, as `on_end` tells it.

    `request.id` is the same if the end is told twice. `picture` says how it ended: in state
    `delivered` it is in the chat `chat_id`, as the message `picture.telegram_message_id`; without
    a chat it can be fetched. `user_id` is as in the turn, and so is `chat_id`, unless the group has
    become a supergroup. `kind` is automatic, asked, variation, cover or file, or one that only a newer
    version knows.
    """

    request: Request
    kind: str
    user_id: int
    chat_id: int | None
    persona: str
    picture: Picture


OnEnd = Callable[[RequestEnd], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class EndTimes:
    """The times of telling ends, in seconds.

    `poll_s`: how often the rows are read while Redis reports nothing; each second, if that is more
    often, while Redis is away. `callback_s`: how long the
    bot may take for one end. `lease_s`: how long a process has an end before another may take it,
    and so how soon an end is told again whose telling failed; longer than `callback_s`.
    """

    poll_s: float = 5.0
    callback_s: float = 30.0
    lease_s: float = 60.0


_NOW = func.clock_timestamp()
_LEASE = bindparam("lease", type_=Interval())
_BEGIN = upsert(EndListening).values(id=_THE_ROW).on_conflict_do_nothing()
# Read with the row lock of FOR NO KEY UPDATE: of several processes each skips what another takes.
_TAKE = (
    picture.QUERY.add_columns(
        ImageRequest.kind,
        ImageRequest.dialog_id,
        ImageRequest.message_count,
        ImageRequest.user_id,
        ImageRequest.chat_id,
        ImageRequest.persona,
        ImageRequest.finished_at,
    )
    .where(
        ImageRequest.finished_at.is_distinct_from(ImageRequest.told_end),
        ImageRequest.finished_at
        >= select(EndListening.since).where(EndListening.id == _THE_ROW).scalar_subquery(),
        # Covers that are drawn ahead are nobody's.
        ImageRequest.user_id != NOBODY,
        or_(
            ImageRequest.end_leased_until.is_(None),
            ImageRequest.end_leased_until < _NOW,
            # PostgreSQL's clock was set back.
            ImageRequest.end_leased_until > _NOW + _LEASE,
        ),
    )
    .order_by(ImageRequest.finished_at)
    .with_for_update(key_share=True, skip_locked=True)
)
_MARK_TOLD = (
    update(ImageRequest)
    .where(ImageRequest.id == bindparam("its_id"))
    .values(told_end=bindparam("its_end"), end_leased_until=None)
)


class EndReader:
    """Reads the ends that the bot was not told of, and tells them."""

    def __init__(
        self,
        database: Database,
        listener: EndListener,
        messages: Messages,
        times: EndTimes,
        *,
        age_text_version: str,
    ) -> None:
        self._database = database
        self._listener = listener
        self._messages = messages
        self._times = times
        self._age_text_version = age_text_version
        self._is_listening = False
        self._is_database_away = False
        self._throttle = Throttle()

    async def run(self, on_end: OnEnd) -> None:
        """Tell ends until it is cancelled; does not raise."""
        running: dict[asyncio.Task[None], UUID] = {}
        with self._listener.told(None) as event:
            async with asyncio.TaskGroup() as calls:
                while True:
                    event.clear()
                    rows = await self._due(running.values())
                    for row in rows:
                        call = calls.create_task(self._tell(on_end, row), name=f"end of {row.id}")
                        running[call] = row.id
                        call.add_done_callback(running.pop)
                    if len(running) == AT_A_TIME:
                        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    elif not rows:
                        await self._listener.wait(event, within_s=self._times.poll_s)

    async def _due(self, running: Collection[UUID]) -> Sequence[AnyRow]:
        """Take ends that are due, as many as may be told beside those that are being told."""
        try:
            rows = await self._database.run_with_retries(partial(self._take, running))
        except DatabaseFault as error:
            if not self._is_database_away:
                log.warning("ends are told later", why=str(error))
            self._is_database_away = True
            return ()
        self._is_database_away, self._is_listening = False, True
        return rows

    async def _take(
        self, running: Collection[UUID], connection: AsyncConnection
    ) -> Sequence[AnyRow]:
        if not self._is_listening:
            await connection.execute(_BEGIN)
        lease = timedelta(seconds=self._times.lease_s)
        values = {"lease": lease, "age_text_version": self._age_text_version}
        query = _TAKE.where(~is_any_of(ImageRequest.id, running)).limit(AT_A_TIME - len(running))
        rows = (await connection.execute(query, values)).all()
        if rows:
            ids = [row.id for row in rows]
            await connection.execute(
                update(ImageRequest)
                .where(is_any_of(ImageRequest.id, ids))
                .values(end_leased_until=_NOW + lease)
            )
        return rows

    async def _tell(self, on_end: OnEnd, row: AnyRow) -> None:
        """Tell one end, and write down that the bot has taken it unless its callback failed."""
        try:
            async with asyncio.timeout(self._times.callback_s):
                await on_end(self._end_of(row))
        except (Exception, asyncio.CancelledError) as error:  # whatever the bot raises
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            log.error(  # noqa: TRY400 (a traceback may quote what people wrote)
                "end not taken",
                request_id=str(row.id),
                error=type(error).__name__,
                place=_place_of(error),
                again_in_s=self._times.lease_s,
            )
            return
        await self._mark_told(row.id, row.finished_at)

    async def _mark_told(self, request_id: UUID, finished_at: datetime) -> None:
        told = {"its_id": request_id, "its_end": finished_at}
        try:
            await self._database.run_with_retries(
                lambda connection: connection.execute(_MARK_TOLD, told)
            )
        except DatabaseFault as error:
            if (untold := self._throttle.admit(str(error))) is not None:
                log.warning(
                    "end will be told again",
                    request_id=str(request_id),
                    why=str(error),
                    untold=untold,
                )

    def _end_of(self, row: AnyRow) -> RequestEnd:
        request_id, shown = picture.of_row(row, self._messages)
        return RequestEnd(
            request=Request(
                id=request_id, dialog_id=row.dialog_id, message_count=row.message_count
            ),
            kind=row.kind,
            user_id=row.user_id,
            chat_id=row.chat_id,
            persona=row.persona,
            picture=shown,
        )


def _is_being_cancelled() -> bool:
    """Whether somebody has cancelled the running task, so that a CancelledError is no callback's."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
