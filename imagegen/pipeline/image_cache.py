"""Finds images that were drawn before, so that they are neither drawn nor uploaded again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import NOBODY, ImageRequest, State, kinds_that
from chatflow_hook.turn import Rating
from imagegen.db.engine import first, one_or_none, run_in_transaction, run_statement
from imagegen.requests.claim import ClaimedRequest
from imagegen.requests.repository import DrawingPlan
from imagegen.requests.state_changes import advance
from imagegen.safety.rating import lowest_rating
from imagegen.storage.store import ImageStore, StoredImage

_HAS_NO_DIALOG = ImageRequest.kind.in_(kinds_that(lambda kind: not kind.has_dialog))
# Built once, since building a statement takes longer than running it.
_SAME_GRAPH = DirectQuery(
    select(
        ImageRequest.image,
        ImageRequest.album_images,
        ImageRequest.width,
        ImageRequest.height,
        ImageRequest.drawing_seconds,
        ImageRequest.drawn_rating,
    )
    .where(
        ImageRequest.cache_key == bindparam("key"),
        ImageRequest.drawn_rating == any_(bindparam("ratings", type_=ARRAY(Text))),
        ImageRequest.id != bindparam("request_id"),
        ImageRequest.image.is_not(None),
        or_(
            ImageRequest.user_id == bindparam("user_id"),
            and_(ImageRequest.user_id == NOBODY, _HAS_NO_DIALOG),
        ),
    )
    .order_by(ImageRequest.created_at.desc())
    .limit(1)
)
# Locks (FOR SHARE) another row that names the image. Clean-up locks a row before it erases it, and
# erases an image only with the last row that names it: while we hold this lock the image stays.
_LOCK_IMAGE = (
    select(ImageRequest.id)
    .where(
        ImageRequest.image == bindparam("image"),
        ImageRequest.album_images.is_not_distinct_from(bindparam("album")),
        ImageRequest.id != bindparam("request_id"),
    )
    .limit(1)
    .with_for_update(read=True)
)


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """A stored image, with the rating at which it was drawn.

    `seconds` is how long a host worked on it, None if that is unknown.
    """

    image: StoredImage
    rating: Rating
    seconds: float | None


@dataclass(kw_only=True)
class CacheSavings:
    """How many pictures came from the cache since the start, and how many GPU seconds that saved."""

    pictures: int = 0
    seconds: float = 0.0


class ImageCache:
    """Finds images by the cache key of their graph.

    An image of one user is never given to another user. Images that were drawn ahead for nobody
    (covers) are given to all. All methods raise Unavailable when PostgreSQL or the store is away.
    """

    def __init__(self, engine: AsyncEngine, images: ImageStore) -> None:
        self._engine = engine
        self._images = images
        self.saved = CacheSavings()

    async def find(self, request: ClaimedRequest, plan: DrawingPlan) -> CachedImage | None:
        """Return the newest stored image of the same graph, of this user or drawn for nobody.

        None if there is none that was drawn at a rating which the plan allows.
        """
        values = {
            "key": plan.cache_key,
            "ratings": [
                rating for rating in Rating if lowest_rating(rating, plan.rating) is rating
            ],
            "request_id": request.id,
            "user_id": request.user_id,
        }
        row = await first(self._engine, _SAME_GRAPH, values)
        if row is None:
            return None
        album = tuple(row.album_images or ())
        image = StoredImage(name=row.image, width=row.width, height=row.height, album=album)
        if not all([await self._images.has(name) for name in image.names]):
            return None
        return CachedImage(
            image=image, rating=Rating(row.drawn_rating), seconds=row.drawing_seconds
        )

    async def reuse(
        self,
        request: ClaimedRequest,
        cached_image: CachedImage,
        plan: DrawingPlan,
        *,
        url: str | None,
    ) -> ClaimedRequest | None:
        """Give the request a cached image and mark it drawn, at the rating of that image.

        None if the image is erased by now.

        Raises:
            ClaimLost: another job has the request, or it has ended.
        """
        album = list(cached_image.image.album) or None
        lock_values = {
            "image": cached_image.image.name,
            "album": album,
            "request_id": request.id,
        }

        async def step(connection: AsyncConnection) -> bool:
            if (await connection.execute(_LOCK_IMAGE, lock_values)).one_or_none() is None:
                return False
            await advance(
                connection,
                request,
                State.DRAWN,
                crashes=0,
                seed=plan.seed,
                cache_key=plan.cache_key,
                drawn_rating=cached_image.rating,
                scene=plan.scene,
                image=cached_image.image.name,
                album_images=album,
                image_url=url,
                width=cached_image.image.width,
                height=cached_image.image.height,
                drawing_seconds=cached_image.seconds,
                is_reused=True,
            )
            return True

        if not await run_in_transaction(self._engine, step):
            return None
        self.saved.pictures += 1
        self.saved.seconds += cached_image.seconds or 0.0
        return replace(
            request, state=State.DRAWN, drawn_rating=cached_image.rating, scene=plan.scene
        )

    async def file_ids(
        self, request: ClaimedRequest, image: StoredImage, *, bot_id: int
    ) -> Sequence[str] | None:
        """Return Telegram's file ids of the images if this bot has sent them as photos, else None.

        A file id is valid for one bot only. For a kind without a dialog (a cover) the photos of
        all users are looked at, for any other kind only those of the same user.
        """
        owners = [ImageRequest.user_id == request.user_id]
        if not request.kind.has_dialog:
            owners.append(_HAS_NO_DIALOG)
        query = (
            select(ImageRequest.telegram_file_id, ImageRequest.album_file_ids)
            .where(
                ImageRequest.image == image.name,
                ImageRequest.album_images.is_not_distinct_from(list(image.album) or None),
                ImageRequest.telegram_bot_id == bot_id,
                ImageRequest.telegram_file_id.is_not(None),
                or_(*owners),
            )
            .order_by(ImageRequest.created_at.desc())
            .limit(1)
        )
        row = await run_statement(self._engine, lambda connection: one_or_none(connection, query))
        if row is None:
            return None
        file_ids = [row.telegram_file_id, *(row.album_file_ids or ())]
        return file_ids if len(file_ids) == len(image.names) else None
