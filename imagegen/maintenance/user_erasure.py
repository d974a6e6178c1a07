"""Erases everything of one user: the rows, and the images if this process reaches the store."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.queue import QueueClient
from chatflow_hook.user_erasure import Erasure, Forgotten
from imagegen.db.engine import run_in_transaction
from imagegen.errors import Unavailable
from imagegen.maintenance.image_cleanup import CleanupCounts, ImageCleanup
from imagegen.storage.store import ImageStore


@dataclass(frozen=True, kw_only=True)
class UserErasureReport:
    """What was erased of a user.

    `forgotten`: the counts of rows and what is out of our reach. `images`: how many image files
    were erased, kept or left for later; None if the store cannot be reached from here, and the
    worker erases them. `kept_until`: until when a keyed hash of the user's id is kept, None if
    nothing is.
    """

    user_id: int
    forgotten: Forgotten
    images: CleanupCounts | None
    kept_until: datetime | None


async def erase_user(  # noqa: PLR0913 (settings, by their names)
    engine: AsyncEngine,
    images: ImageStore | None,
    queue: QueueClient,
    user_id: int,
    *,
    dialog_ids: Collection[int] = (),
    hash_secret: SecretStr | None = None,
) -> UserErasureReport:
    """Erase everything of a user. May be called again, for instance after an error.

    `dialog_ids`: dialogs of the user in which no picture was requested yet. `hash_secret` is
    HASH_SECRET, None if the database keeps the secret.
    `images` is None if this process has no image store. If the store is not here or cannot be
    reached, the worker erases the files later.

    Raises:
        Unavailable: PostgreSQL cannot be reached. Nothing was erased.
    """

    async def step(connection: AsyncConnection) -> Erasure:
        return await user_erasure.erase(
            connection, user_id, dialog_ids=dialog_ids, hash_secret=hash_secret
        )

    erasure = await run_in_transaction(engine, step)
    await queue.publish_erased(user_id, erasure.request_ids)
    return UserErasureReport(
        user_id=user_id,
        forgotten=erasure.forgotten,
        images=await _erase_images(engine, images, erasure),
        kept_until=erasure.kept_until,
    )


async def _erase_images(
    engine: AsyncEngine, images: ImageStore | None, erasure: Erasure
) -> CleanupCounts | None:
    if images is None:
        return None
    try:
        return await ImageCleanup(engine, images).erase_noted(erasure.images)
    except Unavailable:  # the names are noted, so the worker erases the files
        return None
