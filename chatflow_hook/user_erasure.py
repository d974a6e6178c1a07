"""Erases everything that is kept of a user, and reports what is out of reach."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Uuid,
    any_,
    column,
    delete,
    func,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import age_confirmation, cancellation
from chatflow_hook.cancellation import AnyRow
from chatflow_hook.tables import NOBODY, OURS, Dialog, ImageRequest

# Tables of the worker: the attempts to send, whose rows are erased with their requests; the images
# that it is to erase; and what the content policy found.
_DELIVERIES = table("deliveries", column("request_id"), column("outcome"), column("message_id"))
_FORGOTTEN_IMAGES = table("forgotten_images", column("image"), column("forgotten_at"))
_AUDIT = table("safety_audit", column("user_id"))
NOT_A_USER = f"{NOBODY} is the id of nobody: with it all covers would be erased"
_DIALOGS_ARE_OURS = text(
    "SELECT obj_description('dialogs'::regclass, 'pg_class') IS NOT DISTINCT FROM :ours"
).bindparams(ours=OURS)


@dataclass(frozen=True, kw_only=True)
class SentPhoto:
    """A photo that was sent to a chat.

    Only the bot can delete it, with Telegram's `deleteMessage`, and only for 48 hours.
    """

    chat_id: int
    message_id: int


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """How many rows and files of a user were erased, and what is out of the hook's reach.

    Erased: `requests`, of which `open_requests` had not ended and stop now; `deliveries`, the
    attempts to send; `dialogs`, none where that table is the bot's own; `pictures`, image files
    that the worker erases within ten minutes, unless another user was sent the same file.

    Out of reach: `photos` are in chats; `unknown_sends` is how many sends may have arrived
    without our knowing; `hosts` are the ComfyUI hosts that may still have files, as `host:port`.
    """

    requests: int
    open_requests: int
    deliveries: int
    dialogs: int
    pictures: int
    photos: tuple[SentPhoto, ...]
    unknown_sends: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What was erased of a user; `images` are the names of image files that are to be erased."""

    forgotten: Forgotten
    request_ids: Sequence[UUID]
    images: Sequence[str]


async def erase(connection: AsyncConnection, user_id: int) -> Erasure:
    """Erase the rows of a user, and list the images for the worker to erase; does not commit.

    A job that works on one of the requests finds that its row is gone, and cancels its prompt.

    Raises:
        ValueError: `user_id` is 0, under which the covers are kept.
    """
    if user_id == NOBODY:
        raise ValueError(NOT_A_USER)
    dialogs = await _lock_dialogs(connection, user_id)
    requests = await _lock_requests(connection, user_id)
    request_ids = [row.id for row in requests]
    sends = await _read_sends(connection, request_ids)

    await cancellation.list_strays(connection, [row for row in requests if row.finished_at is None])
    await connection.execute(delete(ImageRequest).where(ImageRequest.id == _any_of(request_ids)))
    await connection.execute(age_confirmation.erase(user_id))
    await connection.execute(delete(_AUDIT).where(_AUDIT.c.user_id == user_id))

    images = sorted({row.image for row in requests if row.image is not None})
    await note_images(connection, images)
    erased_dialogs = await _erase_dialogs(connection, dialogs)
    return Erasure(
        forgotten=_count(requests, sends, dialogs=erased_dialogs, pictures=len(images)),
        request_ids=request_ids,
        images=images,
    )


async def note_images(connection: AsyncConnection, images: Iterable[str]) -> None:
    """List images whose rows are gone: the worker erases those that no other row names.

    May be called again for the same images. Does not commit.
    """
    rows = [{"image": image} for image in sorted(set(images))]
    if rows:
        # An update and not DO NOTHING: it waits for a worker that deletes the entry in this moment,
        # because our row still named the image when it looked.
        query = upsert(_FORGOTTEN_IMAGES).on_conflict_do_update(
            index_elements=["image"], set_={"forgotten_at": func.clock_timestamp()}
        )
        await connection.execute(query, rows)


async def _lock_dialogs(connection: AsyncConnection, user_id: int) -> Sequence[int]:
    # Hook and worker lock the dialog first and then the request, so that there is no deadlock.
    of_user = select(ImageRequest.dialog_id).where(ImageRequest.user_id == user_id)
    query = select(Dialog.id).where(Dialog.id.in_(of_user)).order_by(Dialog.id)
    return (await connection.execute(query.with_for_update(key_share=True))).scalars().all()


async def _lock_requests(connection: AsyncConnection, user_id: int) -> Sequence[AnyRow]:
    query = (
        select(
            ImageRequest.id,
            ImageRequest.finished_at,
            ImageRequest.chat_id,
            ImageRequest.prompt_id,
            ImageRequest.host,
            ImageRequest.image,
        )
        .where(ImageRequest.user_id == user_id)
        .order_by(ImageRequest.created_at, ImageRequest.id)
    )
    return (await connection.execute(query.with_for_update())).all()


async def _read_sends(connection: AsyncConnection, request_ids: Sequence[UUID]) -> Sequence[AnyRow]:
    query = select(_DELIVERIES).where(_DELIVERIES.c.request_id == _any_of(request_ids))
    return (await connection.execute(query)).all()


def _any_of(request_ids: Sequence[UUID]) -> ColumnElement[Any]:
    # One array as one parameter: a statement may have at most 32,767 parameters.
    return any_(literal(request_ids, ARRAY(Uuid)))


async def _erase_dialogs(connection: AsyncConnection, dialogs: Sequence[int]) -> int:
    """Erase the dialogs in which no other user has requests, and return how many.

    If the table `dialogs` is the bot's own, nothing is erased.
    """
    if not (await connection.execute(_DIALOGS_ARE_OURS)).scalar_one():
        return 0
    of_others = select(ImageRequest.id).where(ImageRequest.dialog_id == Dialog.id).exists()
    query = delete(Dialog).where(Dialog.id.in_(dialogs), ~of_others).returning(Dialog.id)
    return len((await connection.execute(query)).all())


def _count(
    requests: Sequence[AnyRow], sends: Sequence[AnyRow], *, dialogs: int, pictures: int
) -> Forgotten:
    chat_ids = {row.id: row.chat_id for row in requests}
    return Forgotten(
        requests=len(requests),
        open_requests=sum(row.finished_at is None for row in requests),
        deliveries=len(sends),
        dialogs=dialogs,
        pictures=pictures,
        photos=tuple(
            SentPhoto(chat_id=chat_ids[send.request_id], message_id=send.message_id)
            for send in sends
            if send.message_id is not None
        ),
        unknown_sends=sum(send.outcome in ("sending", "unknown") for send in sends),
        hosts=tuple(sorted({row.host for row in requests if row.host is not None})),
    )
