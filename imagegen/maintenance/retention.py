"""Erases what was kept long enough: conversations, requests, images, notes of the content screen.

Rows are erased in small batches, so that no lock is held for long.
"""

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import InstrumentedAttribute

from chatflow_hook import cancellation, user_erasure
from chatflow_hook.tables import NOBODY, OPEN, Dialog, ImageRequest, Kind, State, kinds_that
from chatflow_hook.turn import EndReason
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import SafetyNote
from imagegen.errors import Unavailable
from imagegen.maintenance.image_cleanup import BATCH_SIZE, ImageCleanup
from imagegen.storage.store import FOLDERS

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

EVERY_S = 300.0
# Folders of the image store that one step searches for orphans. With 256 folders and a step every
# five minutes the whole store is searched 18 times a day.
_FOLDERS_PER_STEP = 16

_DIALOG_GONE = EndReason(code="dialog_gone", sentence="The dialog of this picture is gone.")

_IS_OPEN = ImageRequest.state.in_(OPEN)
# Not every other state is an end: a newer version may have more open states than this one.
_HAS_ENDED = and_(not_(_IS_OPEN), ImageRequest.finished_at.is_not(None))
# What becomes of requests of other kinds is decided by the newer workers, which know them.
_IS_OF_KNOWN_KIND = ImageRequest.kind.in_(list(Kind))
# Covers are left out: one may be sent before the dialog's first message, when its row does not
# exist yet, and those that are drawn ahead belong to no dialog.
_HAS_NO_DIALOG = and_(
    ImageRequest.kind.in_(kinds_that(lambda kind: kind.has_dialog)),
    ~exists().where(Dialog.id == ImageRequest.dialog_id),
)
_IS_DRAWN_AHEAD = and_(
    ImageRequest.kind.in_(kinds_that(lambda kind: not kind.has_dialog)),
    ImageRequest.user_id == NOBODY,
    ImageRequest.state == State.DELIVERED,
)


@dataclass(frozen=True, kw_only=True)
class RetentionLimits:
    """How long things are kept, in seconds after the end of their request; None is for ever.

    The properties are conditions on the rows that are due.
    """

    context_s: float
    requests_s: float | None
    images_s: float | None

    @property
    def due_contexts(self) -> ColumnElement[bool]:
        """Requests that lose their conversation: failed ones. All others lost it when they ended."""
        return and_(
            ImageRequest.state == State.FAILED,
            ImageRequest.conversation.is_not(None),
            _ended_before(self.context_s),
        )

    @property
    def due_requests(self) -> ColumnElement[bool]:
        """Requests that are erased: old ones, and ended ones whose dialog does not exist any more."""
        old = and_(_ended_before(self.requests_s), not_(_IS_DRAWN_AHEAD))
        return or_(old, and_(_HAS_ENDED, _HAS_NO_DIALOG))

    @property
    def due_notes(self) -> ColumnElement[bool]:
        """Findings of the content screen that are erased. They are kept as long as requests are."""
        return _before(SafetyNote.found_at, self.requests_s)

    @property
    def due_images(self) -> ColumnElement[bool]:
        """Requests that lose their image. Covers that are drawn ahead keep it."""
        has_image = ImageRequest.image.is_not(None)
        return and_(has_image, _ended_before(self.images_s), not_(_IS_DRAWN_AHEAD))


@dataclass(frozen=True, kw_only=True)
class RetentionCounts:
    """How much was erased, or would be.

    `contexts`: conversations of failed requests.
    `cancelled`: open requests whose dialog does not exist any more.
    `requests`: rows, together with their deliveries.
    `emptied`: rows that stay but lose their image.
    `pictures`: image files that rows had named.
    `orphans`: files in the store that no row had named.
    `notes`: findings of the content screen.
    """

    contexts: int = 0
    cancelled: int = 0
    requests: int = 0
    emptied: int = 0
    pictures: int = 0
    orphans: int = 0
    notes: int = 0

    def __add__(self, other: "RetentionCounts") -> "RetentionCounts":
        """Return the sum, field by field."""
        others = asdict(other)
        sums = {name: count + others[name] for name, count in asdict(self).items()}
        return RetentionCounts(**sums)

    @property
    def is_nothing(self) -> bool:
        """Whether all counts are 0."""
        return self == RetentionCounts()


class Retention:
    """Erases what is due. Several workers may do so at the same time, since each locks its batch.

    Rows are erased first and their image files afterwards: the names of the files are written down
    in the transaction that erases the rows, so that a failure in between loses none.
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

    async def step(self) -> None:
        """Erase one batch of everything that is due. Logs an outage and leaves the rest for later."""
        try:
            counts = await self._erase_rows()
            counts += RetentionCounts(pictures=(await self._image_cleanup.sweep()).erased)
            counts += await self._erase_orphans(_FOLDERS_PER_STEP)
        except Unavailable as error:
            log.warning("retention waits", why=error.sentence)
            return
        if not counts.is_nothing:
            log.info("tidied up", **asdict(counts))

    async def everything(self) -> RetentionCounts:
        """Erase everything that is due, batch by batch.

        Raises:
            Unavailable: PostgreSQL or the image store cannot be reached.
        """
        total = batch = await self._erase_rows()
        while not batch.is_nothing:
            batch = await self._erase_rows()
            total += batch
        pictures = RetentionCounts(pictures=(await self._image_cleanup.everything()).erased)
        return total + pictures + await self._erase_orphans(len(FOLDERS))

    async def due(self) -> RetentionCounts:
        """Count everything that is due and erase nothing.

        Raises:
            Unavailable: PostgreSQL or the image store cannot be reached.
        """
        orphans = [len(await self._image_cleanup.orphans(folder)) for folder in FOLDERS]
        noted_images = await self._image_cleanup.noted()
        return await self._run(self._count_due) + RetentionCounts(
            pictures=noted_images, orphans=sum(orphans)
        )

    async def _erase_rows(self) -> RetentionCounts:
        return RetentionCounts(
            contexts=await self._run(self._erase_contexts),
            requests=await self._run(self._erase_requests),
            emptied=await self._run(self._erase_images),
            notes=await self._run(self._erase_notes),
            # Last, so that the next batch erases the row, and the bot can read until then how it
            # ended.
            cancelled=await self._run(_cancel_without_dialog),
        )

    async def _erase_orphans(self, folders: int) -> RetentionCounts:
        next_folders = itertools.islice(self._folders, folders)
        return RetentionCounts(
            orphans=sum(
                [await self._image_cleanup.erase_orphans(folder) for folder in next_folders]
            )
        )

    async def _erase_contexts(self, connection: AsyncConnection) -> int:
        ids = await _lock_batch(connection, self._limits.due_contexts)
        query = update(ImageRequest).where(ImageRequest.id.in_(ids))
        await connection.execute(query.values(conversation=None))
        return len(ids)

    async def _erase_requests(self, connection: AsyncConnection) -> int:
        ids = await _lock_batch(connection, self._limits.due_requests)
        query = delete(ImageRequest).where(ImageRequest.id.in_(ids)).returning(ImageRequest.image)
        await _note_images(connection, list((await connection.execute(query)).scalars()))
        return len(ids)

    async def _erase_images(self, connection: AsyncConnection) -> int:
        ids = await _lock_batch(connection, self._limits.due_images)
        of_these = ImageRequest.id.in_(ids)
        await _note_images(
            connection,
            list((await connection.execute(select(ImageRequest.image).where(of_these))).scalars()),
        )
        query = update(ImageRequest).where(of_these).values(image=None, image_url=None)
        await connection.execute(query)
        return len(ids)

    async def _erase_notes(self, connection: AsyncConnection) -> int:
        old = select(SafetyNote.id).where(self._limits.due_notes).limit(BATCH_SIZE)
        locked = old.with_for_update(skip_locked=True)
        query = delete(SafetyNote).where(SafetyNote.id.in_(locked)).returning(SafetyNote.id)
        return len((await connection.execute(query)).all())

    async def _count_due(self, connection: AsyncConnection) -> RetentionCounts:
        limits = self._limits
        erased_rows = or_(limits.due_requests, _HAS_NO_DIALOG)
        # An image is erased with the last row that names it.
        images = (
            select(ImageRequest.image)
            .where(ImageRequest.image.is_not(None))
            .group_by(ImageRequest.image)
            .having(func.bool_and(or_(erased_rows, limits.due_images)))
        )
        return RetentionCounts(
            contexts=await _count(connection, limits.due_contexts, not_(erased_rows)),
            cancelled=await _count(connection, _IS_OPEN, _HAS_NO_DIALOG),
            requests=await _count(connection, erased_rows),
            emptied=await _count(connection, limits.due_images, not_(erased_rows)),
            notes=await _scalar(
                connection, select(func.count(SafetyNote.id)).where(limits.due_notes)
            ),
            pictures=await _scalar(connection, select(func.count()).select_from(images.subquery())),
        )

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


async def _cancel_without_dialog(connection: AsyncConnection) -> int:
    ids = await _lock_batch(connection, and_(_IS_OPEN, _HAS_NO_DIALOG))
    return len(await cancellation.cancel(connection, ImageRequest.id.in_(ids), why=_DIALOG_GONE))


async def _lock_batch(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[UUID]:
    """Lock one batch of requests and return their ids; skip those that are locked already."""
    query = select(ImageRequest.id).where(condition).limit(BATCH_SIZE)
    return list((await connection.execute(query.with_for_update(skip_locked=True))).scalars())


async def _note_images(connection: AsyncConnection, images: list[str | None]) -> None:
    named = [image for image in images if image is not None]
    await user_erasure.note_images(connection, named)


async def _count(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> int:
    return await _scalar(connection, select(func.count(ImageRequest.id)).where(*conditions))


async def _scalar(connection: AsyncConnection, query: Select[int]) -> int:
    return (await connection.execute(query)).scalar_one()


def _ended_before(seconds: float | None) -> ColumnElement[bool]:
    return and_(_HAS_ENDED, _IS_OF_KNOWN_KIND, _before(ImageRequest.finished_at, seconds))


def _before(moment: InstrumentedAttribute[Any], seconds: float | None) -> ColumnElement[bool]:
    if seconds is None:
        return false()
    return moment < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
