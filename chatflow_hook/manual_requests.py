"""Manual requests: a picture that a user asks for, or a variation of a delivered one."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import handles, outbox, quota
from chatflow_hook.handles import Handle
from chatflow_hook.outbox import Ownership, Request
from chatflow_hook.quota import Limited, Quota
from chatflow_hook.tables import ImageRequest, Kind, State, kinds_that
from chatflow_hook.turn import Rating, Turn


class NothingToVary(LookupError):
    """A picture that cannot be varied; the message has its request's id.

    There is no such delivered picture, or nothing is kept of what it shows, as with a picture
    that the bot's own `Turn.prompt` described.
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
            "language",
            "story",
            "caption",
            "has_spoiler",
            "reply_to_message_id",
            "message_thread_id",
        )
    ),
]

_KINDS_OF_DIALOGS = kinds_that(lambda kind: kind.has_dialog)
# The source of a scene that the bot's own prompt described. That prompt is erased with the
# conversation, and the `scene` that is kept does not describe the same picture.
_OWN_PROMPT = "own"


@dataclass(frozen=True, kw_only=True)
class ManualRequests:
    """Inserts requests that count against the quota, and not for the trigger."""

    quota: Quota

    async def ask(
        self, connection: AsyncConnection, turn: Turn, *, ownership: Ownership
    ) -> Request | Limited:
        """Insert a request for a picture of this turn, whose message is not counted here.

        Does not commit.

        Raises:
            DialogUnknownError: the bot's own `dialogs` has no such row.
        """
        dialog = await outbox.lock_dialog(connection, turn, ownership)
        if (limited := await self._check_quota(connection, turn.user_id, Kind.ASKED)) is not None:
            return limited
        message_count = turn.user_message_count or dialog.message_count
        request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=message_count)
        values = outbox.new_request_row(turn, request, Kind.ASKED)
        values["variation"] = _next_variation(turn.dialog_id, message_count)
        await connection.execute(insert(ImageRequest).values(values))
        return request

    async def vary(self, connection: AsyncConnection, varied: Handle) -> Request | Limited:
        """Insert a request for another picture of the same scene; does not commit.

        Raises:
            NothingToVary: there is no such delivered picture, or its scene is not kept.
        """
        query = select(*_VARIED_COLUMNS).where(
            handles.is_meant(varied), ImageRequest.state == State.DELIVERED
        )
        # Locked, so that who erases it meanwhile waits and then erases the variation as well.
        locked = query.with_for_update(read=True, key_share=True)
        row = (await connection.execute(locked)).one_or_none()
        if row is None or row.scene is None or row.scene.get("source") == _OWN_PROMPT:
            raise NothingToVary(
                f"nothing is known of what the picture of {handles.spelled(varied)} shows"
            )
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
            "variation": _next_variation(row.dialog_id, row.message_count),
        }
        await connection.execute(insert(ImageRequest).values(values))
        return request

    async def _check_quota(
        self, connection: AsyncConnection, user_id: int, kind: Kind
    ) -> Limited | None:
        return await quota.check_quota(connection, user_id, kind=kind, quota=self.quota)


def _next_variation(dialog_id: int, message_count: int) -> ColumnElement[int]:
    # Seed and scene depend on this number: two requests at one message are two pictures.
    next_number = select(func.max(ImageRequest.variation) + 1).where(
        ImageRequest.dialog_id == dialog_id,
        ImageRequest.message_count == message_count,
        ImageRequest.kind.in_(_KINDS_OF_DIALOGS),
    )
    return func.coalesce(next_number.scalar_subquery(), 0)
