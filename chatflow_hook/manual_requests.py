"""Asking: a request that a person wants, now or once more, written down in the hook's transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import outbox, quota
from chatflow_hook.outbox import Ownership, Request
from chatflow_hook.quota import Limited, Quota
from chatflow_hook.tables import ImageRequest, Kind, State, kinds_that
from chatflow_hook.turn import Rating, Turn


class NothingToVary(LookupError):
    """A picture that cannot be varied; the message has its request's id.

    There is no such delivered picture, or nothing is kept of what it shows, as with a picture
    that the bot's own `Turn.prompt` described.
    """


# What a variation has in common with the picture that it varies.
_SAME: list[ColumnElement[Any]] = [
    # No more than was drawn: the words that kept a picture tame are erased by now.
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
# The bot's own prompt is erased with the conversation, and what is left of it is another scene.
_OWN = "own"


@dataclass(frozen=True, kw_only=True)
class ManualRequests:
    """Adds requests that count against the allowance and not against the trigger."""

    allowance: Quota

    async def ask(
        self, connection: AsyncConnection, turn: Turn, *, owned: Ownership
    ) -> Request | Limited:
        """Add a request for a picture of this turn; the turn's message is not counted here.

        Raises:
            DialogUnknownError: the bot's own `dialogs` has no such row.
        """
        dialog = await outbox.locked(connection, turn, owned)
        if (wait := await self._limited(connection, turn.user_id, Kind.ASKED)) is not None:
            return wait
        count = turn.message_count or dialog.message_count
        request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=count)
        values = outbox.row_of(turn, request, Kind.ASKED)
        values["variation"] = _next_variation(turn.dialog_id, count)
        await connection.execute(insert(ImageRequest).values(values))
        return request

    async def vary(self, connection: AsyncConnection, request_id: UUID) -> Request | Limited:
        """Add a request for another picture of the same scene.

        Raises:
            NothingToVary: there is no such delivered picture, or its scene is not kept.
        """
        query = select(*_SAME).where(
            ImageRequest.id == request_id, ImageRequest.state == State.DELIVERED
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None or row.scene is None or row.scene.get("source") == _OWN:
            raise NothingToVary(f"nothing is known of what the picture of {request_id} shows")
        if (wait := await self._limited(connection, row.user_id, Kind.VARIATION)) is not None:
            return wait
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

    async def _limited(
        self, connection: AsyncConnection, user_id: int, kind: Kind
    ) -> Limited | None:
        return await quota.check_quota(connection, user_id, kind=kind, allowance=self.allowance)


def _next_variation(dialog_id: int, message_count: int) -> ColumnElement[int]:
    # So that asking twice at the same message does not give the same picture twice.
    earlier = select(func.max(ImageRequest.variation) + 1).where(
        ImageRequest.dialog_id == dialog_id,
        ImageRequest.message_count == message_count,
        ImageRequest.kind.in_(_KINDS_OF_DIALOGS),
    )
    return func.coalesce(earlier.scalar_subquery(), 0)
