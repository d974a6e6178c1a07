"""Forgetting: everything of one user is erased, and what is beyond reach is told."""

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
from chatflow_hook.tables import NOBODY, OPEN, OURS, Dialog, ImageRequest

# Tables of the worker: sends, which go with their requests, pictures that it is to erase, and
# what the screen found.
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
    """What was erased, with the names by which the rest is found."""

    told: Forgotten
    request_ids: Sequence[UUID]
    images: Sequence[str]


async def erase(connection: AsyncConnection, user_id: int) -> Erasure:
    """Erase the rows of a user and note the pictures for the worker; does not commit.

    A job that is at one of the requests finds no row any more and takes its prompt off the host.

    Raises:
        ValueError: `user_id` is the id of nobody.
    """
    if user_id == NOBODY:
        raise ValueError(NOT_A_USER)
    dialogs = await _locked_dialogs(connection, user_id)
    requests = await _locked_requests(connection, user_id)
    ids = [row.id for row in requests]
    sends = await _sends(connection, ids)
    await cancellation.list_strays(connection, [row for row in requests if row.state in OPEN])
    await connection.execute(delete(ImageRequest).where(ImageRequest.id == _any_of(ids)))
    await connection.execute(age_confirmation.erase(user_id))
    await connection.execute(delete(_AUDIT).where(_AUDIT.c.user_id == user_id))
    images = sorted({row.image for row in requests if row.image is not None})
    await note_images(connection, images)
    emptied = await _erased_dialogs(connection, dialogs)
    return Erasure(
        told=_told(requests, sends, dialogs=emptied, pictures=len(images)),
        request_ids=ids,
        images=images,
    )


async def note_images(connection: AsyncConnection, images: Iterable[str]) -> None:
    """Note pictures that rows have let go: the worker erases those that no other row names."""
    notes = [{"image": image} for image in sorted(set(images))]
    if notes:
        # An update waits for a worker that is about to strike the note for our row's sake.
        query = upsert(_FORGOTTEN_IMAGES).on_conflict_do_update(
            index_elements=["image"], set_={"forgotten_at": func.clock_timestamp()}
        )
        await connection.execute(query, notes)


async def _locked_dialogs(connection: AsyncConnection, user_id: int) -> Sequence[int]:
    # Dialog, then request: the order in which everybody locks.
    of_user = select(ImageRequest.dialog_id).where(ImageRequest.user_id == user_id)
    query = select(Dialog.id).where(Dialog.id.in_(of_user)).order_by(Dialog.id)
    return (await connection.execute(query.with_for_update(key_share=True))).scalars().all()


async def _locked_requests(connection: AsyncConnection, user_id: int) -> Sequence[AnyRow]:
    query = (
        select(
            ImageRequest.id,
            ImageRequest.state,
            ImageRequest.chat_id,
            ImageRequest.prompt_id,
            ImageRequest.host,
            ImageRequest.image,
        )
        .where(ImageRequest.user_id == user_id)
        .order_by(ImageRequest.created_at, ImageRequest.id)
    )
    return (await connection.execute(query.with_for_update())).all()


async def _sends(connection: AsyncConnection, requests: Sequence[UUID]) -> Sequence[AnyRow]:
    query = select(_DELIVERIES).where(_DELIVERIES.c.request_id == _any_of(requests))
    return (await connection.execute(query)).all()


def _any_of(requests: Sequence[UUID]) -> ColumnElement[Any]:
    # One parameter: of many there may be no more than 32,767.
    return any_(literal(requests, ARRAY(Uuid)))


async def _erased_dialogs(connection: AsyncConnection, dialogs: Sequence[int]) -> int:
    """Erase the counts of dialogs that nobody else has pictures in; a bot's own table is the bot's."""
    if not (await connection.execute(_DIALOGS_ARE_OURS)).scalar_one():
        return 0
    of_others = select(ImageRequest.id).where(ImageRequest.dialog_id == Dialog.id).exists()
    query = delete(Dialog).where(Dialog.id.in_(dialogs), ~of_others).returning(Dialog.id)
    return len((await connection.execute(query)).all())


def _told(
    requests: Sequence[AnyRow], sends: Sequence[AnyRow], *, dialogs: int, pictures: int
) -> Forgotten:
    chats = {row.id: row.chat_id for row in requests}
    return Forgotten(
        requests=len(requests),
        open_requests=sum(row.state in OPEN for row in requests),
        deliveries=len(sends),
        dialogs=dialogs,
        pictures=pictures,
        photos=tuple(
            SentPhoto(chat_id=chats[send.request_id], message_id=send.message_id)
            for send in sends
            if send.message_id is not None
        ),
        unknown_sends=sum(send.outcome in ("sending", "unknown") for send in sends),
        hosts=tuple(sorted({row.host for row in requests if row.host is not None})),
    )
