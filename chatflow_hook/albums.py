"""Albums: pictures that one request has brought as several messages.

A row of image_requests names the first image and, in `album_images`, the others; the deliveries name
the messages after the first one.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, column, select, table
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import ImageRequest, is_any_of

# A table of the worker: the attempts to send.
DELIVERIES = table(
    "deliveries",
    column("request_id", Uuid),
    column("outcome"),
    column("message_id"),
    column("album_message_ids", ARRAY(BIGINT)),
)


def images_of(rows: Iterable[Any]) -> list[str]:
    """Return the names of all images of rows with the columns `image` and `album_images`."""
    return [
        image
        for row in rows
        if row.image is not None
        for image in (row.image, *(row.album_images or ()))
    ]


async def later_messages(
    connection: AsyncConnection, request_ids: Collection[UUID]
) -> Sequence[int]:
    """Return the ids of the messages of albums after the first of each."""
    query = select(DELIVERIES.c.album_message_ids).where(
        is_any_of(DELIVERIES.c.request_id, request_ids),
        DELIVERIES.c.album_message_ids.is_not(None),
    )
    found = (await connection.execute(query)).scalars()
    return [message_id for album in found for message_id in album]


def request_of_later_message(chat_id: int, message_id: int) -> Select[Any]:
    """Return the query of the newest request with an album that has this message after its first."""
    is_in_album: ColumnElement[bool] = (
        select(DELIVERIES.c.request_id)
        .where(
            DELIVERIES.c.request_id == ImageRequest.id,
            DELIVERIES.c.album_message_ids.contains([message_id]),
        )
        .exists()
    )
    return (
        select(ImageRequest.id)
        .where(
            ImageRequest.chat_id == chat_id,
            ImageRequest.telegram_message_id.is_not(None),
            is_in_album,
        )
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )
