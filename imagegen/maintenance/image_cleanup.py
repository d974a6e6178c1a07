"""Erases images that no request names any more from the image store.

Noted images are those whose names were written into `forgotten_images` when a row was erased.
Orphans are files that neither a row nor a note names.
"""

import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Text,
    any_,
    delete,
    except_,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import ImageRequest, is_any_of
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import ForgottenImage
from imagegen.storage.store import ImageStore, StoreUnavailable

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

# The longest time from the moment in which an image is stored to the commit of its name into the
# row, outages of PostgreSQL included. A younger image is not erased.
_SETTLED_S = 180.0
# A file that no row has named for so long was left behind by a worker that was killed in between.
_ORPHANED_S = 86_400.0
BATCH_SIZE = 200
# One file that cannot be erased does not stop the others. After so many in a row the store is away.
_MAX_FAILURES_IN_A_ROW = 3


@dataclass(frozen=True, kw_only=True)
class CleanupCounts:
    """What became of noted images.

    `erased`: files that are gone. `kept`: another row names the image. `left`: the file is too
    young, or the store failed; it is erased later.
    """

    erased: int = 0
    kept: int = 0
    left: int = 0

    def __add__(self, other: "CleanupCounts") -> "CleanupCounts":
        """Return the sum, field by field."""
        return CleanupCounts(
            erased=self.erased + other.erased,
            kept=self.kept + other.kept,
            left=self.left + other.left,
        )


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Noted images that this clean-up erases now; `taken_at` is what their notes say since."""

    kept: int
    names: Sequence[str]
    taken_at: datetime

    @property
    def is_empty(self) -> bool:
        return not self.kept and not self.names


class ImageCleanup:
    """Erases images that nobody names. Several workers may do so at the same time.

    All methods raise Unavailable if PostgreSQL or the image store cannot be reached. `settled_s`:
    an image that is younger than so many seconds is not erased.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        images: ImageStore,
        *,
        settled_s: float = _SETTLED_S,
    ) -> None:
        self._engine = engine
        self._images = images
        self._settled_s = settled_s

    async def erase_noted(
        self, only: Collection[str] | None = None, *, within_s: float | None = None
    ) -> CleanupCounts:
        """Erase the images that are noted now, batch by batch, the longest noted first.

        `only`: of them these names. `within_s`: after so many seconds the rest is left for the
        next call; None: no limit.
        """
        ends_at = None if within_s is None else time.monotonic() + within_s
        noted_before = await self._run(_now)
        total = CleanupCounts()
        while ends_at is None or time.monotonic() < ends_at:
            batch = await self._take_batch(noted_before, only)
            if batch.is_empty:
                break
            total += await self._erase_batch(batch)
        return total

    async def count_noted(self) -> int:
        """Count the noted images that no row names."""
        notes = select(ForgottenImage.image)
        unnamed = except_(notes, _named_images(func.array(notes.scalar_subquery())))
        query = select(func.count()).select_from(unnamed.subquery())

        async def step(connection: AsyncConnection) -> int:
            return (await connection.execute(query)).scalar_one()

        return await self._run(step)

    async def find_orphans(self, folder: str) -> Sequence[str]:
        """Return the names in one of the store's FOLDERS that are old and that no row or note has."""
        names = await self._images.stale(folder, older_than_s=_ORPHANED_S)
        query = union_all(
            _named_images(_array_of(names)),
            select(ForgottenImage.image).where(is_any_of(ForgottenImage.image, names)),
        )

        async def step(connection: AsyncConnection) -> set[str]:
            return set((await connection.execute(query)).scalars())

        named = await self._run(step) if names else set()
        return [name for name in names if name not in named]

    async def erase_orphans(self, folder: str) -> int:
        """Erase the orphans of one of the store's FOLDERS and return how many there were."""
        orphans = await self.find_orphans(folder)
        # The age is checked again: an image that was stored again since is young.
        erased = await _erase_each(
            # In any order: those that cannot be erased would otherwise come first each time.
            random.sample(orphans, len(orphans)),
            lambda name: self._images.erase_stale(folder, name, older_than_s=_ORPHANED_S),
        )
        return len(erased)

    async def protect(self, folder: str) -> None:
        """Take from one of the store's FOLDERS the access rights that it should not have."""
        await self._images.protect(folder)

    async def _take_batch(self, noted_before: datetime, only: Collection[str] | None) -> _Batch:
        """Take one batch of the notes, and strike those whose image a row names.

        The rest move to the end of the list: images that cannot be erased now do not stop the
        images behind them, and other workers take others.
        """
        query = (
            select(ForgottenImage.image)
            .where(ForgottenImage.forgotten_at < noted_before)
            # In any order among those that were taken together before and could not be erased.
            .order_by(ForgottenImage.forgotten_at, func.random())
            .limit(BATCH_SIZE)
            .with_for_update(of=ForgottenImage, skip_locked=True)
        )
        if only is not None:
            query = query.where(is_any_of(ForgottenImage.image, only))

        async def step(connection: AsyncConnection) -> _Batch:
            notes = (await connection.execute(query)).scalars().all()
            taken_at = await _now(connection)
            named = set((await connection.execute(_named_images(_array_of(notes)))).scalars())
            kept = [name for name in notes if name in named]
            names = [name for name in notes if name not in named]
            await connection.execute(
                delete(ForgottenImage).where(is_any_of(ForgottenImage.image, kept))
            )
            await connection.execute(
                update(ForgottenImage)
                .where(is_any_of(ForgottenImage.image, names))
                .values(forgotten_at=taken_at)
            )
            return _Batch(kept=len(kept), names=names, taken_at=taken_at)

        return await self._run(step)

    async def _erase_batch(self, batch: _Batch) -> CleanupCounts:
        """Erase the files of a batch, and strike the notes of those that are gone."""
        erased = await _erase_each(
            batch.names, lambda name: self._images.erase(name, older_than_s=self._settled_s)
        )
        # A note that was written again since stays: the image may have been stored again as well.
        query = delete(ForgottenImage).where(
            is_any_of(ForgottenImage.image, erased), ForgottenImage.forgotten_at == batch.taken_at
        )

        async def step(connection: AsyncConnection) -> int:
            return (await connection.execute(query)).rowcount

        struck = await self._run(step)
        return CleanupCounts(erased=struck, kept=batch.kept, left=len(batch.names) - len(erased))

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


async def _erase_each(
    names: Sequence[str], erase: Callable[[str], Awaitable[bool]]
) -> Sequence[str]:
    """Erase these files and return the names of those that are gone now.

    A file that cannot be erased is logged and stops no other.

    Raises:
        StoreUnavailable: the store failed at every file.
    """
    erased: list[str] = []
    failures: list[StoreUnavailable] = []
    answers = failures_in_a_row = 0
    for name in names:
        try:
            if await erase(name):
                erased.append(name)
        except StoreUnavailable as error:
            failures.append(error)
            failures_in_a_row += 1
            if failures_in_a_row == _MAX_FAILURES_IN_A_ROW:
                break
        else:
            answers += 1
            failures_in_a_row = 0
    if failures and not answers:
        raise failures[0]
    if failures:
        log.warning("files not erased", count=len(failures), why=failures[0].sentence)
    return erased


async def _now(connection: AsyncConnection) -> datetime:
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


def _named_images(names: ColumnElement[Any]) -> CompoundSelect[str]:
    """Return the query of those images of an array that rows name, and of others of their albums.

    As one condition for each image, PostgreSQL would look through all rows for its album.
    """
    return union_all(
        select(ImageRequest.image).where(ImageRequest.image == any_(names)),
        select(func.unnest(ImageRequest.album_images)).where(
            ImageRequest.album_images.overlap(names)
        ),
    )


def _array_of(names: Sequence[str]) -> ColumnElement[Any]:
    return literal(list(names), ARRAY(Text))
