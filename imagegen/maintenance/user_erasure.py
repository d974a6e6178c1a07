"""Forgetting, where the store is: a user's rows and pictures are erased, and told of."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.queue import QueueClient
from chatflow_hook.user_erasure import Erasure, Forgotten
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
    await doorbell.publish_ended(erasure.request_ids)
    return ErasureReport(
        user_id=user_id, told=erasure.forgotten, store=await _swept(engine, images, erasure)
    )


async def _swept(
    engine: AsyncEngine, images: ImageStore | None, erasure: Erasure
) -> CleanupCounts | None:
    if images is None:
        return None
    try:
        return await ImageCleanup(engine, images).everything(erasure.images)
    except Unavailable:  # noted: the worker does it
        return None
