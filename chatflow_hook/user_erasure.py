"""Erases everything that is kept of a user, and reports what is out of reach."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    and_,
    column,
    delete,
    func,
    literal,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import age_confirmation, cancellation, quota, safety_memory
from chatflow_hook.albums import DELIVERIES, images_of
from chatflow_hook.cancellation import AnyRow
from chatflow_hook.handles import SentPhoto
from chatflow_hook.keyed_hash import read_secret
from chatflow_hook.tables import NOBODY, OURS, Dialog, ImageRequest, is_any_of, is_open

# Tables of the worker: the images that it is to erase, and what the content policy found.
_FORGOTTEN_IMAGES = table("forgotten_images", column("image"), column("forgotten_at"))
_AUDIT = table("safety_audit", column("user_id"))
_HAS_REQUESTS = select(ImageRequest.id).where(ImageRequest.dialog_id == Dialog.id).exists()
NOT_A_USER = f"{NOBODY} is the id of nobody: with it all covers would be erased"
_DIALOGS_ARE_OURS = text(
    "SELECT obj_description('dialogs'::regclass, 'pg_class') IS NOT DISTINCT FROM :ours"
).bindparams(ours=OURS)


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
    """What was erased of a user; `images` are the names of image files that are to be erased.

    `kept_until`: the end of the waiting time with which a keyed hash of the user's id is kept; None
    if nothing is kept.
    """

    forgotten: Forgotten
    request_ids: Sequence[UUID]
    images: Sequence[str]
    kept_until: datetime | None


async def erase(
    connection: AsyncConnection,
    user_id: int,
    *,
    dialog_ids: Collection[int] = (),
    hash_secret: SecretStr | None = None,
) -> Erasure:
    """Erase the rows of a user, and list the images for the worker to erase; does not commit.

    If the user has said to be under 18, a keyed hash of the id stays for the waiting time.

    `dialog_ids` are dialogs of the user in which no picture was requested yet: no row of ours
    says whose they are. A job that works on one of the requests finds that its row is gone, and
    cancels its prompt.

    Raises:
        ValueError: `user_id` is 0, under which the covers are kept.
    """
    if user_id == NOBODY:
        raise ValueError(NOT_A_USER)
    dialogs = await _lock_dialogs(connection, user_id, dialog_ids)
    # Twice: the first waits for a variation that is being requested of one of these pictures, and
    # only a statement that begins after its commit sees the new row.
    await _lock_requests(connection, user_id)
    requests = await _lock_requests(connection, user_id)
    request_ids = [row.id for row in requests]
    sends = await _read_sends(connection, request_ids)

    await cancellation.list_strays(connection, _open(requests))
    await connection.execute(delete(ImageRequest).where(is_any_of(ImageRequest.id, request_ids)))
    await _forget_reports(connection, user_id)
    kept_until = await _forget_what_was_learnt(connection, user_id, dialogs, hash_secret)
    await connection.execute(age_confirmation.erase(user_id))
    await connection.execute(delete(_AUDIT).where(_AUDIT.c.user_id == user_id))

    images = sorted(set(images_of(requests)))
    await note_images(connection, images)
    erased_dialogs = await _erase_empty_dialogs(connection, dialogs)
    return Erasure(
        forgotten=_count(requests, sends, dialogs=erased_dialogs, pictures=len(images)),
        request_ids=request_ids,
        images=images,
        kept_until=kept_until,
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


async def erase_left_dialogs(connection: AsyncConnection, dialog_ids: Collection[int]) -> None:
    """Erase those of these dialogs in which nobody has requests any more; does not commit.

    If the table `dialogs` is the bot's own, nothing is erased. A dialog that is locked is skipped:
    somebody writes in it.
    """
    query = select(Dialog.id).where(is_any_of(Dialog.id, dialog_ids))
    locked = await connection.execute(query.with_for_update(skip_locked=True))
    await _erase_empty_dialogs(connection, locked.scalars().all())


async def _forget_reports(connection: AsyncConnection, user_id: int) -> None:
    """Erase who has reported a picture of another user; that it was reported stays."""
    by_user = and_(ImageRequest.reported_at.is_not(None), ImageRequest.reported_by == user_id)
    await connection.execute(update(ImageRequest).where(by_user).values(reported_by=None))


async def _forget_what_was_learnt(
    connection: AsyncConnection,
    user_id: int,
    dialogs: Sequence[int],
    hash_secret: SecretStr | None,
) -> datetime | None:
    """Forget what was learnt of a user and of dialogs; return until when a hash of the id is kept."""
    has_unread = await safety_memory.erase_turns(connection, user_id)
    left = await connection.execute(
        select(Dialog.id).where(is_any_of(Dialog.id, dialogs), ~_HAS_REQUESTS)
    )
    await safety_memory.forget_dialogs(connection, left.scalars().all())
    key = safety_memory.user_key(await read_secret(connection, hash_secret), user_id)
    await quota.lock_user(connection, user_id)
    return await safety_memory.forget_user(connection, key, has_unread=has_unread)


async def _lock_dialogs(
    connection: AsyncConnection, user_id: int, dialog_ids: Collection[int]
) -> Sequence[int]:
    # Hook and worker lock the dialog first and then the request, so that there is no deadlock.
    # One list of ids and not two conditions with OR, for which PostgreSQL reads the whole table.
    of_user = select(ImageRequest.dialog_id).where(ImageRequest.user_id == user_id)
    named = select(func.unnest(literal(list(dialog_ids), ARRAY(BigInteger))))
    query = select(Dialog.id).where(Dialog.id.in_(of_user.union(named))).order_by(Dialog.id)
    return (await connection.execute(query.with_for_update(key_share=True))).scalars().all()


async def _lock_requests(connection: AsyncConnection, user_id: int) -> Sequence[AnyRow]:
    query = (
        select(
            ImageRequest.id,
            ImageRequest.state,
            ImageRequest.finished_at,
            ImageRequest.chat_id,
            ImageRequest.prompt_id,
            ImageRequest.host,
            ImageRequest.image,
            ImageRequest.album_images,
            ImageRequest.status_message_id,
            ImageRequest.telegram_message_id,
        )
        .where(ImageRequest.user_id == user_id)
        .order_by(ImageRequest.created_at, ImageRequest.id)
    )
    return (await connection.execute(query.with_for_update())).all()


async def _read_sends(connection: AsyncConnection, request_ids: Sequence[UUID]) -> Sequence[AnyRow]:
    query = select(DELIVERIES).where(is_any_of(DELIVERIES.c.request_id, request_ids))
    return (await connection.execute(query)).all()


async def _erase_empty_dialogs(connection: AsyncConnection, dialogs: Sequence[int]) -> int:
    """Erase the dialogs in which nobody has requests, and return how many.

    They are locked, by an earlier statement: a request that was committed before the lock is seen.
    If the table `dialogs` is the bot's own, nothing is erased.
    """
    if not (await connection.execute(_DIALOGS_ARE_OURS)).scalar_one():
        return 0
    is_one_of_these = is_any_of(Dialog.id, dialogs)
    query = delete(Dialog).where(is_one_of_these, ~_HAS_REQUESTS).returning(Dialog.id)
    return len((await connection.execute(query)).all())


def _count(
    requests: Sequence[AnyRow], sends: Sequence[AnyRow], *, dialogs: int, pictures: int
) -> Forgotten:
    chat_ids = {row.id: row.chat_id for row in requests}
    return Forgotten(
        requests=len(requests),
        open_requests=len(_open(requests)),
        deliveries=len(sends),
        dialogs=dialogs,
        pictures=pictures,
        photos=tuple(
            SentPhoto(chat_id=chat_ids[send.request_id], message_id=message_id)
            for send in sends
            if send.message_id is not None
            for message_id in (send.message_id, *(send.album_message_ids or ()))
        )
        + tuple(
            SentPhoto(chat_id=row.chat_id, message_id=row.status_message_id)
            for row in requests
            if row.status_message_id not in (None, row.telegram_message_id)
        ),
        unknown_sends=sum(send.outcome in ("sending", "unknown") for send in sends),
        hosts=tuple(sorted({row.host for row in requests if row.host is not None})),
    )


def _open(requests: Sequence[AnyRow]) -> Sequence[AnyRow]:
    return [row for row in requests if is_open(row.state, row.finished_at)]
