"""Forgetting, where the store is: a user's rows and pictures are erased, and told of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.queue import QueueClient
from chatflow_hook.user_erasure import Erasure, Forgotten, SentPhoto
from imagegen.db.engine import run_in_transaction
from imagegen.errors import Unavailable
from imagegen.maintenance.image_cleanup import CleanupCounts, ImageCleanup
from imagegen.storage.store import ImageStore


@dataclass(frozen=True, kw_only=True)
class ErasureReport:
    """What was erased of a user; `store` says what became of the pictures, None where it is not."""

    user_id: int
    told: Forgotten
    store: CleanupCounts | None


async def erase_user(
    engine: AsyncEngine,
    images: ImageStore | None,
    doorbell: QueueClient,
    user_id: int,
) -> ErasureReport:
    """Erase everything of a user. Raises Unavailable if PostgreSQL is away, and then erased nothing."""

    async def step(connection: AsyncConnection) -> Erasure:
        return await user_erasure.erase(connection, user_id)

    erasure = await run_in_transaction(engine, step)
    await doorbell.hush(erasure.request_ids)
    return ErasureReport(
        user_id=user_id, told=erasure.told, store=await _swept(engine, images, erasure)
    )


def as_text(farewell: ErasureReport) -> str:
    """Write what was erased, and what is beyond reach."""
    told = farewell.told
    if not told.requests:
        return f"nothing of user {farewell.user_id} is kept"
    return "\n".join(
        [
            f"erased of user {farewell.user_id}:",
            f"  requests: {told.requests}, of which open: {told.open_requests}",
            f"  deliveries: {told.deliveries}",
            f"  dialogs: {told.dialogs}",
            f"  pictures: {_pictures(farewell)}",
            "beyond reach:",
            *(f"  {line}" for line in _beyond_reach(told) or ["nothing"]),
        ]
    )


def as_json(farewell: ErasureReport) -> dict[str, Any]:
    """Give the same as plain objects; `pictures_left` are erased by the worker."""
    told = asdict(farewell.told)
    names = ("photos", "unknown_sends", "hosts")
    store = farewell.store or CleanupCounts(left=farewell.told.pictures)
    return {
        "user_id": farewell.user_id,
        "erased": {name: value for name, value in told.items() if name not in names},
        "pictures_erased": store.erased,
        "pictures_shared": store.kept,
        "pictures_left": store.left,
        "beyond_reach": {name: told[name] for name in names},
    }


async def _swept(
    engine: AsyncEngine, images: ImageStore | None, erasure: Erasure
) -> CleanupCounts | None:
    if images is None:
        return None
    try:
        return await ImageCleanup(engine, images).everything(erasure.images)
    except Unavailable:  # noted: the worker does it
        return None


def _pictures(farewell: ErasureReport) -> str:
    if farewell.told.pictures == 0:
        return "0"
    if farewell.store is None:
        return f"{farewell.told.pictures}, by the worker within minutes: the store is not here"
    parts = [str(farewell.store.erased)]
    if farewell.store.left:
        parts.append(f"{farewell.store.left} more by the worker within minutes")
    if farewell.store.kept:
        parts.append(f"{farewell.store.kept} kept, since somebody else has the very same")
    return ", ".join(parts)


def _beyond_reach(told: Forgotten) -> list[str]:
    lines = [
        f"photos in chat {chat_id} of Telegram: messages {messages}"
        for chat_id, messages in _by_chat(told.photos).items()
    ]
    if told.unknown_sends:
        lines.append(f"sends that may have arrived, unknown: {told.unknown_sends}")
    if told.hosts:
        lines.append(f"files on {', '.join(told.hosts)}, until ComfyUI empties its temp folder")
    return lines


def _by_chat(photos: Sequence[SentPhoto]) -> dict[int, str]:
    chats: dict[int, list[str]] = {}
    for photo in photos:
        chats.setdefault(photo.chat_id, []).append(str(photo.message_id))
    return {chat_id: ", ".join(messages) for chat_id, messages in chats.items()}
