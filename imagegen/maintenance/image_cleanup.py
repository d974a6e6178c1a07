"""Erases images that no request names any more from the image store.

Noted images are those whose names somebody wrote into `forgotten_images` when a row was erased.
Orphans are files that neither a row nor a note names.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import InstrumentedAttribute

from chatflow_hook.tables import ImageRequest
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import ForgottenImage
from imagegen.storage.store import ImageStore

ResultT = TypeVar("ResultT")

# The longest time from the moment in which an image is stored to the commit of its name into the
# row, outages of PostgreSQL included. A younger image is not erased.
_SETTLED_S = 180.0
# A file that no row has named for so long was left behind by a worker that was killed in between.
_ORPHANED_S = 86_400.0
BATCH_SIZE = 200


@dataclass(frozen=True, kw_only=True)
class CleanupCounts:
    """What became of noted images.

    `erased`: files that are gone. `kept`: another row names the image. `left`: the file is too
    young and is erased later.
    """

    erased: int = 0
    kept: int = 0
    left: int = 0


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

    async def sweep(self, only: Collection[str] | None = None) -> CleanupCounts:
        """Erase one batch of the noted images, of `only` these names if given."""
        query = (
            select(ForgottenImage.image, _is_named(ForgottenImage.image))
            .order_by(ForgottenImage.forgotten_at)
            .limit(BATCH_SIZE)
            .with_for_update(of=ForgottenImage, skip_locked=True)
        )
        if only is not None:
            query = query.where(ForgottenImage.image.in_(only))

        async def step(connection: AsyncConnection) -> CleanupCounts:
            notes = (await connection.execute(query)).all()
            kept = {name for name, is_named in notes if is_named}
            erased = {name for name, _ in notes if name not in kept and await self._erase(name)}
            await connection.execute(
                delete(ForgottenImage).where(ForgottenImage.image.in_(kept | erased))
            )
            return CleanupCounts(
                erased=len(erased), kept=len(kept), left=len(notes) - len(erased) - len(kept)
            )

        return await self._run(step)

    async def everything(self, only: Collection[str] | None = None) -> CleanupCounts:
        """Erase all noted images, batch by batch; `left` is what the last batch has left."""
        total = batch = await self.sweep(only)
        while batch.erased or batch.kept:
            batch = await self.sweep(only)
            total = CleanupCounts(
                erased=total.erased + batch.erased, kept=total.kept + batch.kept, left=batch.left
            )
        return total

    async def noted(self) -> int:
        """Count the noted images that no row names."""
        query = select(func.count(ForgottenImage.image)).where(~_is_named(ForgottenImage.image))

        async def step(connection: AsyncConnection) -> int:
            return (await connection.execute(query)).scalar_one()

        return await self._run(step)

    async def orphans(self, folder: str) -> Sequence[str]:
        """Return the names in one of the store's FOLDERS that are old and that no row or note has."""
        names = await self._images.stale(folder, older_than_s=_ORPHANED_S)
        query = select(ImageRequest.image).where(ImageRequest.image.in_(names))

        async def step(connection: AsyncConnection) -> set[str | None]:
            noted = select(ForgottenImage.image).where(ForgottenImage.image.in_(names))
            return {
                *(await connection.execute(query)).scalars(),
                *(await connection.execute(noted)).scalars(),
            }

        named = await self._run(step) if names else set()
        return [name for name in names if name not in named]

    async def erase_orphans(self, folder: str) -> int:
        """Erase the orphans of one of the store's FOLDERS and return how many there were."""
        # The age is checked again: an image that was stored again since is young.
        return sum(
            [
                await self._images.erase_stale(folder, name, older_than_s=_ORPHANED_S)
                for name in await self.orphans(folder)
            ]
        )

    async def _erase(self, name: str) -> bool:
        return await self._images.erase(name, older_than_s=self._settled_s)

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


def _is_named(image: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return exists().where(ImageRequest.image == image)
