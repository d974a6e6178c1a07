"""Erases what was kept long enough: conversations, requests, images, notes of the content screen.

Rows are erased in small batches, so that no lock is held for long.
"""

import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Select, and_, delete, func, not_, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import cancellation, user_erasure
from chatflow_hook.albums import images_of
from chatflow_hook.tables import ImageRequest, SafetyMemory, UnreadTurn, is_any_of
from chatflow_hook.turn import EndReason
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import SafetyAuditEntry
from imagegen.maintenance.gone_dialogs import GoneDialogs
from imagegen.maintenance.image_cleanup import BATCH_SIZE, ImageCleanup
from imagegen.maintenance.retention_limits import (
    DUE_MEMORY,
    DUE_TURNS,
    HAS_ENDED_WITHOUT_DIALOG,
    HAS_NO_DIALOG,
    IS_OPEN,
    RetentionLimits,
)
from imagegen.maintenance.retention_parts import RetentionCounts, RetentionParts
from imagegen.storage.store import FOLDERS

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

EVERY_S = 300.0
# A worker that has just started takes up pictures first.
FIRST_AFTER_S = 10.0
# Folders of the image store that one step searches for orphans. With 256 folders and a step every
# five minutes the whole store is searched 18 times a day.
_FOLDERS_PER_STEP = 16
# For how long a step erases noted images at a time; the rest is left for later.
_IMAGES_WITHIN_S = 30.0
# The same for each kind of rows.
_ROWS_WITHIN_S = 20.0

_DIALOG_GONE = EndReason(code="dialog_gone", sentence="The dialog of this picture is gone.")


class Retention:
    """Erases what is due. Several workers may do so at the same time, since each locks its batch.

    Rows are erased first and their image files afterwards: the names of the files are written down
    in the transaction that erases the rows, so that a failure in between loses none. Each part goes
    on by itself: one that fails stops no other.
    """

    def __init__(
        self, engine: AsyncEngine, image_cleanup: ImageCleanup, limits: RetentionLimits
    ) -> None:
        self._engine = engine
        self._image_cleanup = image_cleanup
        self._limits = limits
        # Start at a random folder, so that workers that start together do not search the same ones.
        first = random.randrange(len(FOLDERS))  # noqa: S311 (no secret)
        self._folders = itertools.cycle((*FOLDERS[first:], *FOLDERS[:first]))
        # Dialogs that have lost a request for its age, until those that are empty are erased.
        self._left_dialogs: set[int] = set()
        self._gone_dialogs = GoneDialogs()

    async def step(self) -> None:
        """Erase what is due, of each kind of rows for 20 s at most and noted images for 30 s twice.

        Logs what fails, and leaves that for later.
        """
        parts = RetentionParts()
        erase_noted = partial(self._erase_noted, within_s=_IMAGES_WITHIN_S)
        # First those of users who want to be forgotten, then those that the erased rows have named.
        counts = await parts.run("images", erase_noted)
        counts += await self._erase_rows(parts, within_s=_ROWS_WITHIN_S)
        counts += await parts.run("images", erase_noted)
        counts += await parts.run("files", self._tidy_next_folders)
        parts.log_failures()
        if not counts.is_nothing:
            log.info("tidied up", **asdict(counts))

    async def erase_all_due(self) -> RetentionCounts:
        """Erase everything that is due, batch by batch.

        Raises:
            Unavailable: PostgreSQL or the image store cannot be reached. What could be erased all
                the same is erased.
        """
        parts = RetentionParts()
        total = await parts.run("images", self._erase_noted)
        while not (batch := await self._erase_rows(parts)).is_nothing:
            total += batch
        total += await parts.run("images", self._erase_noted)
        total += await parts.run("files", self._erase_orphans)
        parts.raise_first_failure()
        return total

    async def count_due(self) -> RetentionCounts:
        """Count everything that is due and erase nothing.

        Raises:
            Unavailable: PostgreSQL or the image store cannot be reached.
        """
        orphans = [len(await self._image_cleanup.find_orphans(folder)) for folder in FOLDERS]
        noted_images = await self._image_cleanup.count_noted()
        return await self._run(self._count_due) + RetentionCounts(
            pictures=noted_images, orphans=sum(orphans)
        )

    async def _erase_noted(self, *, within_s: float | None = None) -> RetentionCounts:
        cleaned = await self._image_cleanup.erase_noted(within_s=within_s)
        return RetentionCounts(pictures=cleaned.erased)

    async def _erase_rows(
        self, parts: RetentionParts, *, within_s: float = math.inf
    ) -> RetentionCounts:
        kinds: dict[str, Callable[[float], AsyncIterator[RetentionCounts]]] = {
            "contexts": partial(self._batches, self._erase_contexts),
            "requests": partial(self._batches, self._erase_old_requests),
            "requests without a dialog": self._erase_requests_without_dialog,
            "images of requests": partial(self._batches, self._erase_images),
            "notes": partial(self._batches, self._erase_notes),
            "turns": partial(self._batches, _erase_turns),
            "memories": partial(self._batches, _erase_memories),
            # Last, so that the next step erases the row, and the bot can read until then how it
            # ended.
            "open requests without a dialog": partial(self._batches, _cancel_without_dialog),
        }
        total = RetentionCounts()
        for name, batches in kinds.items():
            total += await parts.run_batches(name, batches(time.monotonic() + within_s))
        # Apart from their requests, which go even where a dialog cannot be erased.
        return total + await parts.run("dialogs", self._erase_left_dialogs)

    async def _batches(
        self, step: Callable[[AsyncConnection], Awaitable[RetentionCounts]], ends_at: float
    ) -> AsyncIterator[RetentionCounts]:
        while not (counts := await self._run(step)).is_nothing:
            yield counts
            if time.monotonic() >= ends_at:
                break

    async def _tidy_next_folders(self) -> RetentionCounts:
        orphans = 0
        # If a folder fails, the next step goes on behind it.
        for folder in itertools.islice(self._folders, _FOLDERS_PER_STEP):
            await self._image_cleanup.protect(folder)
            orphans += await self._image_cleanup.erase_orphans(folder)
        return RetentionCounts(orphans=orphans)

    async def _erase_orphans(self) -> RetentionCounts:
        orphans = [await self._image_cleanup.erase_orphans(folder) for folder in FOLDERS]
        return RetentionCounts(orphans=sum(orphans))

    async def _erase_contexts(self, connection: AsyncConnection) -> RetentionCounts:
        ids = await _lock_oldest(connection, self._limits.due_contexts)
        query = update(ImageRequest).where(is_any_of(ImageRequest.id, ids))
        await connection.execute(query.values(conversation=None))
        return RetentionCounts(contexts=len(ids))

    async def _erase_old_requests(self, connection: AsyncConnection) -> RetentionCounts:
        ids = await _lock_oldest(connection, self._limits.old_requests)
        self._left_dialogs |= await _erase_requests(connection, ids)
        return RetentionCounts(requests=len(ids))

    async def _erase_left_dialogs(self) -> RetentionCounts:
        # A dialog in which nobody has had a picture for so long begins anew if it goes on.
        while self._left_dialogs:
            batch = set(itertools.islice(self._left_dialogs, BATCH_SIZE))
            await self._run(partial(user_erasure.erase_left_dialogs, dialog_ids=batch))
            self._left_dialogs -= batch
        return RetentionCounts()

    async def _erase_requests_without_dialog(
        self, ends_at: float
    ) -> AsyncIterator[RetentionCounts]:
        while (gone := await self._run(self._gone_dialogs.find_next)) is not None:
            if gone:
                async for counts in self._batches(partial(_erase_without_dialog, gone), ends_at):
                    yield counts
            if time.monotonic() >= ends_at:
                break

    async def _erase_images(self, connection: AsyncConnection) -> RetentionCounts:
        ids = await _lock_oldest(connection, self._limits.due_images)
        of_these = is_any_of(ImageRequest.id, ids)
        images = select(ImageRequest.image, ImageRequest.album_images).where(of_these)
        rows = (await connection.execute(images)).all()
        await user_erasure.note_images(connection, images_of(rows))
        emptied = {"image": None, "album_images": None, "image_url": None}
        await connection.execute(update(ImageRequest).where(of_these).values(emptied))
        return RetentionCounts(emptied=len(ids))

    async def _erase_notes(self, connection: AsyncConnection) -> RetentionCounts:
        old = select(SafetyAuditEntry.id).where(self._limits.due_notes).limit(BATCH_SIZE)
        locked = old.with_for_update(skip_locked=True)
        query = (
            delete(SafetyAuditEntry)
            .where(SafetyAuditEntry.id.in_(locked))
            .returning(SafetyAuditEntry.id)
        )
        return RetentionCounts(notes=len((await connection.execute(query)).all()))

    async def _count_due(self, connection: AsyncConnection) -> RetentionCounts:
        limits = self._limits
        erased_rows = or_(limits.due_requests, HAS_NO_DIALOG)
        # An image is erased with the last row that names it.
        all_images = func.array_append(ImageRequest.album_images, ImageRequest.image)
        named = (
            select(
                func.unnest(all_images).label("image"),
                or_(erased_rows, limits.due_images).label("is_due"),
            )
            .where(ImageRequest.image.is_not(None))
            .subquery()
        )
        images = select(named.c.image).group_by(named.c.image).having(func.bool_and(named.c.is_due))
        return RetentionCounts(
            contexts=await _count(connection, limits.due_contexts, not_(erased_rows)),
            cancelled=await _count(connection, IS_OPEN, HAS_NO_DIALOG),
            requests=await _count(connection, erased_rows),
            emptied=await _count(connection, limits.due_images, not_(erased_rows)),
            notes=await _scalar(
                connection, select(func.count(SafetyAuditEntry.id)).where(limits.due_notes)
            ),
            turns=await _scalar(connection, select(func.count(UnreadTurn.id)).where(DUE_TURNS)),
            memories=await _scalar(
                connection, select(func.count(SafetyMemory.key)).where(DUE_MEMORY)
            ),
            pictures=await _scalar(connection, select(func.count()).select_from(images.subquery())),
        )

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


async def _erase_turns(connection: AsyncConnection) -> RetentionCounts:
    due = select(UnreadTurn.id).where(DUE_TURNS).limit(BATCH_SIZE).with_for_update(skip_locked=True)
    query = delete(UnreadTurn).where(UnreadTurn.id.in_(due)).returning(UnreadTurn.id)
    return RetentionCounts(turns=len((await connection.execute(query)).all()))


async def _erase_memories(connection: AsyncConnection) -> RetentionCounts:
    key = tuple_(SafetyMemory.subject, SafetyMemory.key)
    due = (
        select(SafetyMemory.subject, SafetyMemory.key)
        .where(DUE_MEMORY)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    query = delete(SafetyMemory).where(key.in_(due)).returning(SafetyMemory.key)
    return RetentionCounts(memories=len((await connection.execute(query)).all()))


async def _cancel_without_dialog(connection: AsyncConnection) -> RetentionCounts:
    ids = await _lock_batch(connection, and_(IS_OPEN, HAS_NO_DIALOG))
    of_these = is_any_of(ImageRequest.id, ids)
    cancelled_ids = await cancellation.cancel(connection, of_these, why=_DIALOG_GONE)
    return RetentionCounts(cancelled=len(cancelled_ids))


async def _erase_without_dialog(
    gone_dialogs: Sequence[int], connection: AsyncConnection
) -> RetentionCounts:
    of_these = is_any_of(ImageRequest.dialog_id, gone_dialogs)
    ids = await _lock_batch(connection, and_(of_these, HAS_ENDED_WITHOUT_DIALOG))
    await _erase_requests(connection, ids)
    return RetentionCounts(requests=len(ids))


async def _erase_requests(connection: AsyncConnection, ids: Sequence[UUID]) -> set[int]:
    """Erase these requests, note their images, and return the ids of their dialogs."""
    query = (
        delete(ImageRequest)
        .where(is_any_of(ImageRequest.id, ids))
        .returning(ImageRequest.image, ImageRequest.album_images, ImageRequest.dialog_id)
    )
    rows = (await connection.execute(query)).all()
    await user_erasure.note_images(connection, images_of(rows))
    return {row.dialog_id for row in rows}


async def _lock_batch(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[UUID]:
    """Lock one batch of requests and return their ids; skip those that are locked already."""
    return await _lock(connection, select(ImageRequest.id).where(condition))


async def _lock_oldest(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[UUID]:
    """Do as `_lock_batch`, of the requests that have ended first, which an index gives."""
    query = select(ImageRequest.id).where(condition).order_by(ImageRequest.finished_at)
    return await _lock(connection, query)


async def _lock(connection: AsyncConnection, query: Select[UUID]) -> list[UUID]:
    locked = query.limit(BATCH_SIZE).with_for_update(skip_locked=True)
    return list((await connection.execute(locked)).scalars())


async def _count(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> int:
    return await _scalar(connection, select(func.count(ImageRequest.id)).where(*conditions))


async def _scalar(connection: AsyncConnection, query: Select[int]) -> int:
    return (await connection.execute(query)).scalar_one()
