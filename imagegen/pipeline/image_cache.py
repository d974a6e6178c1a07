"""Reuse: a picture that was drawn before is not drawn again, nor uploaded."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Executable, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import NOBODY, ImageRequest, State, kinds_that
from imagegen.db.engine import AnyRow, one_or_none, run_in_transaction, run_statement
from imagegen.requests.claim import ClaimedRequest, advance
from imagegen.requests.repository import DrawingPlan
from imagegen.storage.store import ImageStore, StoredImage

_IS_OF_NO_DIALOG = ImageRequest.kind.in_(kinds_that(lambda kind: not kind.has_dialog))
# Built once: to build a statement takes longer than to run it.
_SAME_GRAPH = (
    select(
        ImageRequest.image,
        ImageRequest.width,
        ImageRequest.height,
        ImageRequest.drawing_seconds,
    )
    .where(
        ImageRequest.cache_key == bindparam("key"),
        ImageRequest.id != bindparam("request_id"),
        ImageRequest.image.is_not(None),
        or_(
            ImageRequest.user_id == bindparam("its_user"),
            and_(ImageRequest.user_id == NOBODY, _IS_OF_NO_DIALOG),
        ),
    )
    .order_by(ImageRequest.created_at.desc())
    .limit(1)
)
# Whoever erases a row locks it first, and a picture only goes with the last row that names it.
_HELD = (
    select(ImageRequest.id)
    .where(ImageRequest.image == bindparam("image"), ImageRequest.id != bindparam("request_id"))
    .limit(1)
    .with_for_update(read=True)
)


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """A stored picture, and how many seconds a host drew at it, where that is known."""

    image: StoredImage
    seconds: float | None


@dataclass(kw_only=True)
class CacheSavings:
    """What was not drawn again since the start, and the seconds that hosts did not draw."""

    pictures: int = 0
    seconds: float = 0.0


class ImageCache:
    """Finds pictures by what their graphs draw; those of one user are never another's.

    All methods raise Unavailable when PostgreSQL or the store is away.
    """

    def __init__(self, engine: AsyncEngine, images: ImageStore) -> None:
        self._engine = engine
        self._images = images
        self.saved = CacheSavings()

    async def find(self, request: ClaimedRequest, cache_key: str) -> CachedImage | None:
        """Return a stored picture of the same graph: this user's, or one that is drawn ahead."""
        of_this = {"key": cache_key, "request_id": request.id, "its_user": request.user_id}
        row = await self._single(_SAME_GRAPH, of_this)
        if row is None or not await self._images.has(row.image):
            return None
        image = StoredImage(name=row.image, width=row.width, height=row.height)
        return CachedImage(image=image, seconds=row.drawing_seconds)

    async def reuse(
        self, request: ClaimedRequest, known: CachedImage, plan: DrawingPlan, *, url: str | None
    ) -> ClaimedRequest | None:
        """Note that a request has this picture, with no drawing; None if it has just been let go.

        Raises ClaimLost.
        """
        held = {"image": known.image.name, "request_id": request.id}

        async def step(connection: AsyncConnection) -> bool:
            if (await connection.execute(_HELD, held)).one_or_none() is None:
                return False
            await advance(
                connection,
                request,
                State.DRAWN,
                crashes=0,
                seed=plan.seed,
                cache_key=plan.cache_key,
                drawn_rating=plan.rating,
                scene=plan.scene,
                image=known.image.name,
                image_url=url,
                width=known.image.width,
                height=known.image.height,
                drawing_seconds=known.seconds,
                is_reused=True,
            )
            return True

        if not await run_in_transaction(self._engine, step):
            return None
        self.saved.pictures += 1
        self.saved.seconds += known.seconds or 0.0
        return replace(request, state=State.DRAWN, drawn_rating=plan.rating, scene=plan.scene)

    async def file_id(
        self, request: ClaimedRequest, image: StoredImage, *, bot_id: int
    ) -> str | None:
        """Return under which id Telegram knows a picture as this bot's photo, if it does."""
        whose = [ImageRequest.user_id == request.user_id]
        if not request.kind.has_dialog:
            whose.append(_IS_OF_NO_DIALOG)
        query = (
            select(ImageRequest.telegram_file_id)
            .where(
                ImageRequest.image == image.name,
                ImageRequest.telegram_bot_id == bot_id,
                ImageRequest.telegram_file_id.is_not(None),
                or_(*whose),
            )
            .order_by(ImageRequest.created_at.desc())
            .limit(1)
        )
        row = await self._single(query)
        return None if row is None else row.telegram_file_id

    async def _single(
        self, query: Executable, values: dict[str, Any] | None = None
    ) -> AnyRow | None:
        return await run_statement(
            self._engine, lambda connection: one_or_none(connection, query, values)
        )
