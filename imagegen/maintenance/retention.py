"""Erases what was kept long enough: conversations, requests, images, notes of the screen."""

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
from chatflow_hook.tables import NOBODY, OPEN, Dialog, ImageRequest, State, kinds_that
from chatflow_hook.turn import EndReason
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import SafetyNote
from imagegen.errors import Unavailable
from imagegen.maintenance.image_cleanup import BATCH_SIZE, ImageCleanup
from imagegen.storage.store import FOLDERS


@dataclass(frozen=True, kw_only=True)
class RetentionCounts:
    """Counts of what was erased, or of what would be.

    `contexts`: conversations of failed requests. `cancelled`: open requests of dialogs that are
    gone. `requests`: rows, with their deliveries. `emptied`: rows that stay without their picture.
    `pictures`: files that rows had named; `orphans`: files that no row named. `notes`: what the
    screen had found.
    """

    contexts: int = 0
    cancelled: int = 0
    requests: int = 0
    emptied: int = 0
    pictures: int = 0
    orphans: int = 0
    notes: int = 0

    def __add__(self, other: "RetentionCounts") -> "RetentionCounts":
        """Sum up."""
        more = asdict(other)
        return RetentionCounts(**{name: count + more[name] for name, count in asdict(self).items()})

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was erased."""
        return self == RetentionCounts()


log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

EVERY_S = 300.0
# So that all of the store is looked through many times a day.
_FOLDERS_AT_A_TIME = 16

_DIALOG_GONE = EndReason(code="dialog_gone", sentence="The dialog of this picture is gone.")

_IS_OPEN = ImageRequest.state.in_(OPEN)
# A cover comes before the dialog's first message, and those drawn ahead are of no dialog.
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
    """How long things are kept, in seconds from the end of a request; None is for ever."""

    context_s: float
    requests_s: float | None
    images_s: float | None

    @property
    def contexts(self) -> ColumnElement[bool]:
        """Which requests lose their conversation: `failed` ones, all others lost it at their end."""
        return and_(
            ImageRequest.state == State.FAILED,
            ImageRequest.conversation.is_not(None),
            _ended_before(self.context_s),
        )

    @property
    def requests(self) -> ColumnElement[bool]:
        """Which requests are erased: old ones, and those whose dialog is gone."""
        old = and_(_ended_before(self.requests_s), not_(_IS_DRAWN_AHEAD))
        return or_(old, and_(not_(_IS_OPEN), _HAS_NO_DIALOG))

    @property
    def notes(self) -> ColumnElement[bool]:
        """Which findings of the screen are erased: as old as requests may become."""
        return _before(SafetyNote.found_at, self.requests_s)

    @property
    def pictures(self) -> ColumnElement[bool]:
        """Which requests lose their picture; covers that are drawn ahead stay."""
        has_one = ImageRequest.image.is_not(None)
        return and_(has_one, _ended_before(self.images_s), not_(_IS_DRAWN_AHEAD))


class Retention:
    """Tidies up; several workers may do so at the same time, since batches are locked.

    Rows first and then their pictures: what is not erased at once stays noted.
    """

    def __init__(
        self, engine: AsyncEngine, discarded: ImageCleanup, limits: RetentionLimits
    ) -> None:
        self._engine = engine
        self._discarded = discarded
        self._limits = limits
        # Workers that start together need not look into the same folders.
        first = random.randrange(len(FOLDERS))  # noqa: S311 (no secret)
        self._folders = itertools.cycle((*FOLDERS[first:], *FOLDERS[:first]))

    async def step(self) -> None:
        """Erase one batch of everything that is due."""
        try:
            tidied = await self._rows()
            tidied += RetentionCounts(pictures=(await self._discarded.sweep()).erased)
            tidied += await self._orphans(_FOLDERS_AT_A_TIME)
        except Unavailable as error:
            log.warning("retention waits", why=error.sentence)
            return
        if not tidied.is_nothing:
            log.info("tidied up", **asdict(tidied))

    async def everything(self) -> RetentionCounts:
        """Erase all that is due, batch by batch. Raises Unavailable."""
        total = batch = await self._rows()
        while not batch.is_nothing:
            batch = await self._rows()
            total += batch
        pictures = RetentionCounts(pictures=(await self._discarded.everything()).erased)
        return total + pictures + await self._orphans(len(FOLDERS))

    async def due(self) -> RetentionCounts:
        """Count all that is due, and erase nothing. Raises Unavailable."""
        orphans = [len(await self._discarded.orphans(folder)) for folder in FOLDERS]
        noted = await self._discarded.noted()
        return await self._run(self._counted) + RetentionCounts(
            pictures=noted, orphans=sum(orphans)
        )

    async def _rows(self) -> RetentionCounts:
        return RetentionCounts(
            contexts=await self._run(self._erase_contexts),
            requests=await self._run(self._erase_requests),
            emptied=await self._run(self._let_pictures_go),
            notes=await self._run(self._erase_notes),
            # Last: it is erased by the next batch, and until then its end can be seen.
            cancelled=await self._run(_cancel_without_dialog),
        )

    async def _orphans(self, folders: int) -> RetentionCounts:
        some = itertools.islice(self._folders, folders)
        return RetentionCounts(
            orphans=sum([await self._discarded.erase_orphans(one) for one in some])
        )

    async def _erase_contexts(self, connection: AsyncConnection) -> int:
        ids = await _locked(connection, self._limits.contexts)
        query = update(ImageRequest).where(ImageRequest.id.in_(ids))
        await connection.execute(query.values(conversation=None))
        return len(ids)

    async def _erase_requests(self, connection: AsyncConnection) -> int:
        ids = await _locked(connection, self._limits.requests)
        query = delete(ImageRequest).where(ImageRequest.id.in_(ids)).returning(ImageRequest.image)
        await _note(connection, list((await connection.execute(query)).scalars()))
        return len(ids)

    async def _let_pictures_go(self, connection: AsyncConnection) -> int:
        ids = await _locked(connection, self._limits.pictures)
        of_these = ImageRequest.id.in_(ids)
        await _note(
            connection,
            list((await connection.execute(select(ImageRequest.image).where(of_these))).scalars()),
        )
        query = update(ImageRequest).where(of_these).values(image=None, image_url=None)
        await connection.execute(query)
        return len(ids)

    async def _erase_notes(self, connection: AsyncConnection) -> int:
        old = select(SafetyNote.id).where(self._limits.notes).limit(BATCH_SIZE)
        locked = old.with_for_update(skip_locked=True)
        query = delete(SafetyNote).where(SafetyNote.id.in_(locked)).returning(SafetyNote.id)
        return len((await connection.execute(query)).all())

    async def _counted(self, connection: AsyncConnection) -> RetentionCounts:
        limits = self._limits
        rows = or_(limits.requests, _HAS_NO_DIALOG)
        # A picture goes with the last row that names it.
        pictures = (
            select(ImageRequest.image)
            .where(ImageRequest.image.is_not(None))
            .group_by(ImageRequest.image)
            .having(func.bool_and(or_(rows, limits.pictures)))
        )
        return RetentionCounts(
            contexts=await _count(connection, limits.contexts, not_(rows)),
            cancelled=await _count(connection, _IS_OPEN, _HAS_NO_DIALOG),
            requests=await _count(connection, rows),
            emptied=await _count(connection, limits.pictures, not_(rows)),
            notes=await _number(connection, select(func.count(SafetyNote.id)).where(limits.notes)),
            pictures=await _number(
                connection, select(func.count()).select_from(pictures.subquery())
            ),
        )

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


async def _cancel_without_dialog(connection: AsyncConnection) -> int:
    ids = await _locked(connection, and_(_IS_OPEN, _HAS_NO_DIALOG))
    return len(await cancellation.cancel(connection, ImageRequest.id.in_(ids), why=_DIALOG_GONE))


async def _locked(connection: AsyncConnection, which: ColumnElement[bool]) -> list[UUID]:
    """Lock one batch of requests, past those that somebody else has locked."""
    query = select(ImageRequest.id).where(which).limit(BATCH_SIZE)
    return list((await connection.execute(query.with_for_update(skip_locked=True))).scalars())


async def _note(connection: AsyncConnection, images: list[str | None]) -> None:
    named = [image for image in images if image is not None]
    await user_erasure.note_images(connection, named)


async def _count(connection: AsyncConnection, *which: ColumnElement[bool]) -> int:
    return await _number(connection, select(func.count(ImageRequest.id)).where(*which))


async def _number(connection: AsyncConnection, query: Select[int]) -> int:
    return (await connection.execute(query)).scalar_one()


def _ended_before(seconds: float | None) -> ColumnElement[bool]:
    return and_(not_(_IS_OPEN), _before(ImageRequest.finished_at, seconds))


def _before(moment: InstrumentedAttribute[Any], seconds: float | None) -> ColumnElement[bool]:
    if seconds is None:
        return false()
    return moment < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
