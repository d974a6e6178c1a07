"""Revival: a failed request is put back into the queue, as an operator's retry."""

from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import OPEN, Dialog, ImageRequest, Kind, State
from imagegen.db.engine import run_in_transaction
from imagegen.errors import ImagegenError
from imagegen.storage.store import ImageStore

_AFRESH: dict[str, Any] = {
    "attempts": 0,
    "crashes": 0,
    "claim": None,
    "error_code": None,
    "error_sentence": None,
    "finished_at": None,
}
# Drawn anew: neither the prompt that failed nor a picture that is gone is taken up again.
_UNDRAWN: dict[str, Any] = {
    "prompt_id": None,
    "image": None,
    "image_url": None,
    "width": None,
    "height": None,
}


class NotRetried(ImagegenError):
    """The request stays as it is, and the sentence says why."""


async def retry_request(engine: AsyncEngine, images: ImageStore | None, request_id: UUID) -> State:
    """Put a failed request back: drawn if its picture is still in the store, else queued.

    It is as young as a new one and has all its attempts. Raises NotRevived or Unavailable.
    """
    seen = await run_in_transaction(engine, lambda connection: _seen(connection, request_id))
    if seen is None:
        raise NotRetried("there is no such request")
    state = State.DRAWN if await _is_stored(images, seen.image) else State.QUEUED

    async def step(connection: AsyncConnection) -> None:
        # Dialog, then request; and while we hold it, the hook writes no other request of it.
        await _lock_dialog(connection, seen.dialog_id)
        if Kind(seen.kind).is_one_per_dialog:
            await _stop_beside_another(connection, seen)
        if (await connection.execute(_back(seen, state))).one_or_none() is None:
            _refuse(await _seen(connection, request_id))

    await run_in_transaction(engine, step)
    return state


async def _seen(connection: AsyncConnection, request_id: UUID) -> Row[*tuple[Any, ...]] | None:
    query = select(
        ImageRequest.id,
        ImageRequest.kind,
        ImageRequest.state,
        ImageRequest.dialog_id,
        ImageRequest.image,
        ImageRequest.conversation.is_not(None).label("has_context"),
    ).where(ImageRequest.id == request_id)
    return (await connection.execute(query)).one_or_none()


async def _is_stored(images: ImageStore | None, name: str | None) -> bool:
    return images is not None and name is not None and await images.has(name)


async def _lock_dialog(connection: AsyncConnection, dialog_id: int) -> None:
    query = select(Dialog.id).where(Dialog.id == dialog_id).with_for_update(key_share=True)
    if (await connection.execute(query)).one_or_none() is None:
        raise NotRetried(f"its dialog {dialog_id} is gone")


async def _stop_beside_another(connection: AsyncConnection, seen: Row[*tuple[Any, ...]]) -> None:
    query = select(ImageRequest.id).where(
        ImageRequest.dialog_id == seen.dialog_id,
        ImageRequest.kind == seen.kind,
        ImageRequest.state.in_(OPEN),
        ImageRequest.id != seen.id,
    )
    other = (await connection.execute(query)).scalars().first()
    if other is not None:
        raise NotRetried(f"another picture of its dialog is under way: {other}")


def _back(seen: Row[*tuple[Any, ...]], state: State) -> Any:
    values = {**_AFRESH, **({} if state is State.DRAWN else _UNDRAWN), "state": state}
    return (
        update(ImageRequest)
        .where(
            ImageRequest.id == seen.id,
            ImageRequest.state == State.FAILED,
            ImageRequest.conversation.is_not(None),
            ImageRequest.image.is_not_distinct_from(seen.image),
        )
        .values(queued_at=func.clock_timestamp(), updated_at=func.clock_timestamp(), **values)
        .returning(ImageRequest.id)
    )


def _refuse(now: Row[*tuple[Any, ...]] | None) -> NoReturn:
    if now is None:
        raise NotRetried("there is no such request any more")
    if now.state != State.FAILED:
        raise NotRetried(f"it is {now.state}, and only a failed request can be tried again")
    if not now.has_context:
        raise NotRetried(
            "what people wrote was erased (CONTEXT_RETENTION), so nobody knows what to draw"
        )
    raise NotRetried("it changed at this very moment: try again")
