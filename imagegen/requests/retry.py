"""An operator's retry: a failed request is put back into the queue."""

from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.albums import images_of
from chatflow_hook.tables import NOBODY, OPEN, Dialog, ImageRequest, Kind, State
from imagegen.db.engine import run_in_transaction
from imagegen.errors import ImagegenError
from imagegen.requests import deliveries
from imagegen.storage.store import ImageStore

_AS_NEW: dict[str, Any] = {
    "attempts": 0,
    "crashes": 0,
    "claim": None,
    "error_code": None,
    "error_sentence": None,
    "finished_at": None,
    "chat_told_at": None,
}
# For a request that is drawn again: without the failed prompt and without an image that is gone.
_UNDRAWN: dict[str, Any] = {
    "prompt_id": None,
    "image": None,
    "album_images": None,
    "image_url": None,
    "width": None,
    "height": None,
    # Only what was drawn counts in the costs.
    "is_reused": False,
}


class NotRetried(ImagegenError):
    """The request cannot be retried and stays as it is; the sentence says why."""


async def retry_request(engine: AsyncEngine, images: ImageStore | None, request_id: UUID) -> State:
    """Put a failed request back into the queue and return its new state.

    It is drawn if its image is still in the store, which is then only sent, and queued otherwise.
    Its age and its attempts begin again at 0. `images` is None if the image store is not on this
    machine.

    Raises:
        NotRetried: there is no such request, it has not failed, its conversation or its dialog is
            gone, another automatic request of its dialog is open, or its kind is unknown.
        Unavailable: PostgreSQL or the image store cannot be reached.
    """
    row = await run_in_transaction(engine, lambda connection: _row(connection, request_id))
    if row is None:
        raise NotRetried("there is no such request")
    state = State.DRAWN if await _are_stored(images, images_of([row])) else State.QUEUED

    async def step(connection: AsyncConnection) -> None:
        # Lock the dialog before the request. Until the commit the hook adds no other request to it.
        # A cover that is drawn ahead has none.
        if row.dialog_id != NOBODY:
            await _lock_dialog(connection, row.dialog_id)
        if _known_kind(row).is_one_per_dialog:
            await _check_no_other_is_open(connection, row)
        if (await connection.execute(_put_back(row, state))).one_or_none() is None:
            _raise_reason(await _row(connection, request_id))
        await deliveries.note_retry(connection, request_id)
        if state is State.QUEUED:
            # The row does not name them any more, and the store may have them: it is not on this
            # machine.
            await user_erasure.note_images(connection, images_of([row]))

    await run_in_transaction(engine, step)
    return state


async def _row(connection: AsyncConnection, request_id: UUID) -> Row[*tuple[Any, ...]] | None:
    query = select(
        ImageRequest.id,
        ImageRequest.kind,
        ImageRequest.state,
        ImageRequest.dialog_id,
        ImageRequest.image,
        ImageRequest.album_images,
        ImageRequest.conversation.is_not(None).label("has_context"),
    ).where(ImageRequest.id == request_id)
    return (await connection.execute(query)).one_or_none()


def _known_kind(row: Row[*tuple[Any, ...]]) -> Kind:
    if row.kind not in set(Kind):
        raise NotRetried(f"only a newer version knows its kind, which is {row.kind}")
    return Kind(row.kind)


async def _are_stored(images: ImageStore | None, names: Sequence[str]) -> bool:
    if images is None or not names:
        return False
    return all([await images.has(name) for name in names])


async def _lock_dialog(connection: AsyncConnection, dialog_id: int) -> None:
    query = select(Dialog.id).where(Dialog.id == dialog_id).with_for_update(key_share=True)
    if (await connection.execute(query)).one_or_none() is None:
        raise NotRetried(f"its dialog {dialog_id} is gone")


async def _check_no_other_is_open(connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> None:
    query = select(ImageRequest.id).where(
        ImageRequest.dialog_id == row.dialog_id,
        ImageRequest.kind == row.kind,
        ImageRequest.state.in_(OPEN),
        ImageRequest.id != row.id,
    )
    other = (await connection.execute(query)).scalars().first()
    if other is not None:
        raise NotRetried(f"another picture of its dialog is under way: {other}")


def _put_back(row: Row[*tuple[Any, ...]], state: State) -> Any:
    values = {**_AS_NEW, **({} if state is State.DRAWN else _UNDRAWN), "state": state}
    return (
        update(ImageRequest)
        .where(
            ImageRequest.id == row.id,
            ImageRequest.state == State.FAILED,
            ImageRequest.conversation.is_not(None),
            ImageRequest.image.is_not_distinct_from(row.image),
        )
        .values(queued_at=func.clock_timestamp(), updated_at=func.clock_timestamp(), **values)
        .returning(ImageRequest.id)
    )


def _raise_reason(row: Row[*tuple[Any, ...]] | None) -> NoReturn:
    if row is None:
        raise NotRetried("there is no such request any more")
    if row.state != State.FAILED:
        raise NotRetried(f"it is {row.state}, and only a failed request can be tried again")
    if not row.has_context:
        raise NotRetried(
            "what people wrote was erased (CONTEXT_RETENTION) or never kept, so nobody knows what"
            " to draw"
        )
    raise NotRetried("it changed at this very moment: try again")
