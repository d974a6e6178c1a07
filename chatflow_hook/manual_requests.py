"""Manual requests: a picture that a user asks for, or a variation of a delivered one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import cancellation, handles, outbox, quota, safety_memory
from chatflow_hook.handles import Handle
from chatflow_hook.outbox import Ownership, Request
from chatflow_hook.quota import Limited, Quota
from chatflow_hook.tables import OPEN, ImageRequest, Kind, State, kinds_that
from chatflow_hook.tracing import traced
from chatflow_hook.turn import EndReason, Rating, Turn


class NothingToVary(LookupError):
    """A picture that cannot be varied; the message has its request's id.

    There is no such delivered picture, it is another user's, or nothing is kept of what it shows:
    the words of the bot's own `Turn.prompt` are kept for CONTEXT_RETENTION after the picture was
    delivered.
    """


class PhotoOnItsWay(NothingToVary):
    """A photo that may be in the chat already, and whose delivery is not written down yet.

    It is in milliseconds: look again.
    """


# Columns that a variation takes over from the picture that it varies.
_VARIED_COLUMNS: list[ColumnElement[Any]] = [
    # At most the rating that was drawn: the conversation is erased by now, and with it the words
    # for which the content policy may have lowered the rating.
    func.coalesce(ImageRequest.drawn_rating, Rating.SAFE).label("rating"),
    *(
        getattr(ImageRequest, name)
        for name in (
            "dialog_id",
            "user_id",
            "chat_id",
            "chat_type",
            "persona",
            "message_count",
            "scene",
            # Of a delivered picture only the bot's own prompt is kept.
            "conversation",
            "language",
            "story",
            "caption",
            "caption_parse_mode",
            "has_spoiler",
            "reply_to_message_id",
            "message_thread_id",
        )
    ),
]

_KINDS_OF_DIALOGS = kinds_that(lambda kind: kind.has_dialog)
# The source of a scene that the bot's own prompt described. Without the words of that prompt the
# `scene` that is kept does not describe the same picture.
OWN_PROMPT = "own"


# Why an automatic picture ends that waits while the same message asks for one.
SUPERSEDED = EndReason(code="cancelled", sentence="A picture was asked for in its place.")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What became of `ask`, and which automatic requests it has cancelled."""

    answer: Request | Limited
    superseded: Sequence[UUID] = ()


@dataclass(frozen=True, kw_only=True)
class ManualRequests:
    """Inserts requests that count against the quota, and not for the trigger."""

    quota: Quota

    async def ask(self, connection: AsyncConnection, turn: Turn, *, ownership: Ownership) -> Asked:
        """Insert a request for a picture of this turn, whose message is not counted here.

        A dialog has one open request of this kind: while it is open, it is returned, whatever the
        limits are. An automatic picture that still waits is cancelled if this message has brought
        it, or the last one that was counted where the turn has no `message_count`. A turn that may
        speak of somebody under 18 is noted for the worker to read, whatever the answer is: its words
        may stand in no other turn, and no request may ever be drawn. Does not commit.

        Raises:
            DialogUnknownError: the bot's own `dialogs` has no such row.
        """
        dialog = await outbox.lock_dialog(connection, turn, ownership)
        message_count = turn.user_message_count or dialog.message_count
        if outbox.may_speak_of_a_minor(turn):
            await safety_memory.note_turn(connection, turn, message_count)
        if (open_request := await _open_asked(connection, turn.dialog_id)) is not None:
            return Asked(answer=open_request)
        if (limited := await self._check_quota(connection, turn.user_id, Kind.ASKED)) is not None:
            return Asked(answer=limited)
        superseded = await cancellation.cancel(
            connection,
            ImageRequest.dialog_id == turn.dialog_id,
            ImageRequest.kind == Kind.AUTOMATIC,
            ImageRequest.state == State.QUEUED,
            ImageRequest.message_count >= message_count,
            why=SUPERSEDED,
        )
        request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=message_count)
        values = outbox.new_request_row(turn, request, Kind.ASKED)
        values["variation"] = _next_variation(turn.dialog_id, message_count)
        await connection.execute(insert(ImageRequest).values(values))
        return Asked(answer=request, superseded=superseded)

    async def vary(
        self,
        connection: AsyncConnection,
        varied: Handle,
        *,
        user_id: int | None = None,
        **of_request: Any,
    ) -> Request | Limited:
        """Insert a request for another picture of the same scene; does not commit.

        `user_id` is whose picture it has to be; None is not compared. `of_request` are columns of
        the new row, in place of those of the picture; None is left out.

        Raises:
            PhotoOnItsWay: it may be a photo whose delivery is not written down yet.
            NothingToVary: there is no such delivered picture of this user, or its scene is not
                kept.
        """
        # Before the picture is looked for: afterwards its delivery may have been written down.
        on_its_way = select(ImageRequest.id).where(handles.is_on_its_way(varied))
        is_on_its_way = (await connection.execute(select(on_its_way.exists()))).scalar_one()
        query = select(*_VARIED_COLUMNS).where(
            handles.is_meant(varied), ImageRequest.state == State.DELIVERED
        )
        if user_id is not None:
            query = query.where(ImageRequest.user_id == user_id)
        # Locked, so that who erases it meanwhile waits and then erases the variation as well.
        locked = query.with_for_update(read=True, key_share=True)
        row = (await connection.execute(locked)).one_or_none()
        if row is None and is_on_its_way:
            raise PhotoOnItsWay(f"request {handles.spelled(varied)} is on its way")
        if row is None or row.scene is None or not _has_words(row):
            shown = handles.spelled(varied)
            raise NothingToVary(f"nothing is known of what request {shown} shows")
        limited = await self._check_quota(connection, row.user_id, Kind.VARIATION)
        if limited is not None:
            return limited
        request = Request(id=uuid4(), dialog_id=row.dialog_id, message_count=row.message_count)
        values: dict[str, Any] = {
            **row._asdict(),
            "id": request.id,
            "kind": Kind.VARIATION,
            "state": State.QUEUED,
            "created_at": func.clock_timestamp(),
            **traced(),
            "variation": _next_variation(row.dialog_id, row.message_count),
            **{name: value for name, value in of_request.items() if value is not None},
        }
        await connection.execute(insert(ImageRequest).values(values))
        return request

    async def _check_quota(
        self, connection: AsyncConnection, user_id: int, kind: Kind
    ) -> Limited | None:
        return await quota.check_quota(connection, user_id, kind=kind, quota=self.quota)


async def _open_asked(connection: AsyncConnection, dialog_id: int) -> Request | None:
    query = select(ImageRequest.id, ImageRequest.message_count).where(
        ImageRequest.dialog_id == dialog_id,
        ImageRequest.kind == Kind.ASKED,
        ImageRequest.state.in_(OPEN),
    )
    row = (await connection.execute(query.limit(1))).one_or_none()
    if row is None:
        return None
    return Request(id=row.id, dialog_id=dialog_id, message_count=row.message_count)


def _has_words(row: Any) -> bool:
    """Whether the words are kept from which a picture was drawn, if they were the bot's own."""
    return row.scene.get("source") != OWN_PROMPT or bool((row.conversation or {}).get("prompt"))


def _next_variation(dialog_id: int, message_count: int) -> ColumnElement[int]:
    # Seed and scene depend on this number: two requests at one message are two pictures.
    next_number = select(func.max(ImageRequest.variation) + 1).where(
        ImageRequest.dialog_id == dialog_id,
        ImageRequest.message_count == message_count,
        ImageRequest.kind.in_(_KINDS_OF_DIALOGS),
    )
    return func.coalesce(next_number.scalar_subquery(), 0)
