"""Covers: pictures of a persona that are drawn ahead, one of which is sent when a dialog starts."""

import random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, func, insert, select

from chatflow_hook import quota
from chatflow_hook.outbox import Request
from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import NOBODY, OPEN, ImageRequest, Kind, State
from chatflow_hook.tracing import traced
from chatflow_hook.turn import Rating, Turn

# Columns that a new request takes over from the cover's row.
_COVER_COLUMNS = (
    ImageRequest.id,
    ImageRequest.image,
    ImageRequest.image_url,
    ImageRequest.width,
    ImageRequest.height,
    ImageRequest.seed,
    ImageRequest.cache_key,
    ImageRequest.scene,
)

# The fields of a turn whose columns have the same names.
_TURN_FIELDS = {
    "dialog_id",
    "user_id",
    "chat_id",
    "chat_type",
    "persona",
    "language",
    "caption",
    "caption_parse_mode",
    "has_spoiler",
    "reply_to_message_id",
    "message_thread_id",
}


async def send_one(connection: Executor, turn: Turn, *, chance: random.Random) -> Request | None:
    """Insert a request that sends one of the persona's covers, but not the user's last one.

    The request starts in state `drawn`, since its image exists. Returns None if the persona has
    no other cover. The turn's message is neither counted nor kept. Does not commit.
    """
    # Without the lock, two dialogs that start at the same moment could be sent the same cover.
    await quota.lock_user(connection, turn.user_id)
    covers = (await connection.execute(drawn(turn.persona))).all()
    last_image = (await connection.execute(_last_image_sent(turn))).scalar_one_or_none()
    others = [cover for cover in covers if cover.image != last_image]
    if not others:
        return None

    cover = chance.choice(others)
    if (await connection.execute(_lock_cover(cover.id))).one_or_none() is None:
        return None  # it was erased in the meantime, and its image with it

    request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=0)
    values: dict[str, Any] = {
        **cover._asdict(),
        "id": request.id,
        "kind": Kind.COVER,
        "state": State.DRAWN,
        "message_count": 0,
        "rating": Rating.SAFE,
        "drawn_rating": Rating.SAFE,
        "created_at": func.clock_timestamp(),
        **traced(),
        **turn.model_dump(include=_TURN_FIELDS),
    }
    await connection.execute(insert(ImageRequest).values(values))
    return request


def drawn(persona: str) -> Select[Any]:
    """Return the query for the covers of a persona that are stored and safe, by their number."""
    return (
        select(*_COVER_COLUMNS)
        .where(
            ImageRequest.user_id == NOBODY,
            ImageRequest.kind == Kind.COVER,
            ImageRequest.state == State.DELIVERED,
            # One of which that is not known is sent to nobody.
            ImageRequest.drawn_rating == Rating.SAFE,
            ImageRequest.persona == persona,
            ImageRequest.image.is_not(None),
        )
        .order_by(ImageRequest.message_count)
    )


def _lock_cover(cover_id: UUID) -> Select[UUID]:
    """Return the query that keeps a cover's row, and so its image, until the transaction ends."""
    query = select(ImageRequest.id).where(ImageRequest.id == cover_id)
    return query.with_for_update(read=True, key_share=True)


def _last_image_sent(turn: Turn) -> Select[str | None]:
    return (
        select(ImageRequest.image)
        .where(
            ImageRequest.user_id == turn.user_id,
            ImageRequest.kind == Kind.COVER,
            ImageRequest.persona == turn.persona,
            # A cover that failed to arrive may be sent again.
            ImageRequest.state.in_([*OPEN, State.DELIVERED]),
        )
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )
