"""Covers: a persona's own pictures, drawn ahead, one of which begins a dialog."""

import random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, func, insert, select

from chatflow_hook import quota
from chatflow_hook.outbox import Request
from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import NOBODY, OPEN, ImageRequest, Kind, State
from chatflow_hook.turn import Rating, Turn

# Of the picture; who gets it is in the turn.
_SAME = (
    ImageRequest.id,
    ImageRequest.image,
    ImageRequest.image_url,
    ImageRequest.width,
    ImageRequest.height,
    ImageRequest.seed,
    ImageRequest.cache_key,
    ImageRequest.scene,
)


async def send_one(connection: Executor, turn: Turn, *, chance: random.Random) -> Request | None:
    """Add a request that is drawn already: one of the persona's covers, another one than last time.

    Gives None as long as no other is drawn. The turn's message is not counted and not kept.
    """
    # Two dialogs that begin at the same moment would otherwise both see the same last one.
    await quota.lock_user(connection, turn.user_id)
    covers = (await connection.execute(drawn(turn.persona))).all()
    last = (await connection.execute(_last_of(turn))).scalar_one_or_none()
    others = [cover for cover in covers if cover.image != last]
    if not others:
        return None
    chosen = chance.choice(others)
    if (await connection.execute(_held(chosen.id))).one_or_none() is None:
        return None  # erased at this very moment, and its picture with it
    request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=0)
    values: dict[str, Any] = {
        **chosen._asdict(),
        "id": request.id,
        "kind": Kind.COVER,
        "state": State.DRAWN,
        "message_count": 0,
        "rating": Rating.SAFE,
        "drawn_rating": Rating.SAFE,
        "created_at": func.clock_timestamp(),
        **turn.model_dump(include=_COPIED),
    }
    await connection.execute(insert(ImageRequest).values(values))
    return request


def drawn(persona: str) -> Select[Any]:
    """Return the query for the covers of a persona that are drawn and kept."""
    return (
        select(*_SAME)
        .where(
            ImageRequest.user_id == NOBODY,
            ImageRequest.kind == Kind.COVER,
            ImageRequest.state == State.DELIVERED,
            ImageRequest.persona == persona,
            ImageRequest.image.is_not(None),
        )
        .order_by(ImageRequest.message_count)
    )


def _held(cover_id: UUID) -> Select[UUID]:
    """Return the query that keeps a cover, and so its picture, until the transaction's end."""
    held = select(ImageRequest.id).where(ImageRequest.id == cover_id)
    return held.with_for_update(read=True, key_share=True)


def _last_of(turn: Turn) -> Select[str | None]:
    return (
        select(ImageRequest.image)
        .where(
            ImageRequest.user_id == turn.user_id,
            ImageRequest.kind == Kind.COVER,
            ImageRequest.persona == turn.persona,
            # One that never came may be sent.
            ImageRequest.state.in_([*OPEN, State.DELIVERED]),
        )
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )


_COPIED = {
    "dialog_id",
    "user_id",
    "chat_id",
    "chat_type",
    "persona",
    "language",
    "caption",
    "has_spoiler",
    "reply_to_message_id",
    "message_thread_id",
}
