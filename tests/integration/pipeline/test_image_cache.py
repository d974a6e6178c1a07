"""A picture that was drawn before is neither drawn nor uploaded again."""

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Rating
from chatflow_hook.tables import ImageRequest, State
from imagegen.pipeline.image_cache import ImageCache
from imagegen.requests.repository import RequestRepository
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, request_steps
from tests.support.aged_rows import AgedData
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN
from tests.support.image_screens import FixedImageScreen
from tests.support.ports import free_port
from tests.support.product import ProductFactory
from tests.support.scraped_metrics import scrape

STORY = {"story": "a week by the sea", "text": "we sit on the beach"}


@pytest.fixture
def aged_data(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path / "images")


async def test_the_same_graph_costs_no_gpu_and_no_upload(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(seed_mode="story", seconds_per_picture=0.3) as product:
        first = await product.picture(**STORY)
        second = await product.picture(**STORY)

        assert (first.state, second.state) == (State.DELIVERED, State.DELIVERED)
        assert first.seed == second.seed
        assert len(product.hosts[0].posted) == 1
        assert product.telegram.sent[0].file_id == product.telegram.sent[1].file_id
        drawn, reused = await conversations.requests_of(sessions)
        assert (drawn.is_reused, reused.is_reused) == (False, True)
        assert reused.drawing_seconds == drawn.drawing_seconds
        assert reused.drawing_seconds is not None
        assert reused.drawing_seconds >= 0.3
        assert (await conversations.dialog(sessions)).last_image_generation_at == 6


async def test_what_was_not_drawn_and_what_the_template_wrote_is_counted(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with products.start(seed_mode="story", seconds_per_picture=0.3, web_port=port) as product:
        await product.picture(**STORY)
        await product.picture(**STORY)
        await product.picture(dialog_id=2, prompt="naked at the lake")
        page = await scrape(port)

    assert page.value("imagegen_cache_hits_total") == 1
    assert (page.value("imagegen_cache_saved_seconds_total") or 0) >= 0.3
    assert page.value("imagegen_prompt_fallbacks_total", reason="bare") == 1


async def test_a_photo_that_telegram_has_forgotten_is_uploaded_again(
    products: ProductFactory,
) -> None:
    async with products.start(seed_mode="story") as product:
        await product.picture(**STORY)
        gone = Trouble.refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
        product.telegram.script(gone, method="sendPhoto")

        again = await product.picture(**STORY)

        assert again.state is State.DELIVERED
        assert len(product.hosts[0].posted) == 1
        assert product.telegram.sent[0].photo == product.telegram.sent[1].photo
        assert product.telegram.sent[0].file_id != product.telegram.sent[1].file_id


async def test_a_picture_of_one_user_is_never_another_ones(products: ProductFactory) -> None:
    async with products.start(seed_mode="story") as product:
        await product.picture(dialog_id=1, **STORY)
        await product.picture(dialog_id=2, **STORY)

        assert len(product.hosts[0].posted) == 2
        assert len({message.file_id for message in product.telegram.sent}) == 2


async def test_a_picture_that_the_store_has_lost_is_drawn_again(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(seed_mode="story") as product:
        await product.picture(**STORY)
        for folder in (tmp_path / "images").iterdir():
            shutil.rmtree(folder)

        assert (await product.picture(**STORY)).state is State.DELIVERED
        assert len(product.hosts[0].posted) == 2


async def test_a_picture_is_looked_at_anew_for_each_request_that_takes_it(
    products: ProductFactory,
) -> None:
    look = FixedImageScreen(passes=True)
    async with products.start(seed_mode="story", image_screen=look) as product:
        await product.picture(**STORY)
        await product.picture(**STORY)

        photo = product.telegram.sent[0].photo
        assert look.seen == [(photo, Rating.SAFE), (photo, Rating.SAFE)]
        assert len(product.hosts[0].posted) == 1


async def test_a_picture_goes_out_again_at_the_rating_at_which_it_was_drawn(
    products: ProductFactory, sessions: Sessions
) -> None:
    # The bot's own words give the same graph at every rating.
    own = {**STORY, "prompt": "she stands on a beach"}
    async with products.start(seed_mode="story", max_rating="suggestive") as product:
        await product.hook.confirm_age(1001)
        await product.picture(**own, rating=Rating.SAFE)
        await product.picture(**own, rating=Rating.SUGGESTIVE)

        assert len(product.hosts[0].posted) == 1
        assert [message.has_spoiler for message in product.telegram.sent] == [False, False]
        assert await _drawn_ratings(sessions) == ["safe", "safe"]


@pytest.mark.parametrize("was", ["suggestive", "explicit", "x", None])
async def test_a_picture_that_was_drawn_at_more_is_drawn_anew_for_less(
    products: ProductFactory, sessions: Sessions, was: str | None
) -> None:
    own = {**STORY, "prompt": "she stands on a beach"}
    async with products.start(seed_mode="story") as product:
        await product.picture(**own)
        async with sessions.begin() as session:
            await session.execute(update(ImageRequest).values(drawn_rating=was))
        await product.picture(**own)

        assert len(product.hosts[0].posted) == 2
        assert await _drawn_ratings(sessions) == [was, "safe"]


async def test_a_picture_that_is_purged_between_being_found_and_taken_is_not_taken(
    aged_data: AgedData,
) -> None:
    requests, cache = (
        RequestRepository(aged_data.engine),
        ImageCache(aged_data.engine, aged_data.images),
    )
    name = await _kept(aged_data)
    request = await request_steps.claimed(requests, await aged_data.row(State.QUEUED))
    cached_image = await cache.find(request, PLAN)
    assert cached_image is not None

    await aged_data.retention().erase_all_due()
    reused_request = await cache.reuse(request, cached_image, PLAN, url=None)

    assert reused_request is None
    assert not aged_data.file(name).exists()
    assert (await conversations.row(aged_data.sessions, request.id)).state == "queued"


async def test_a_picture_that_is_taken_outlives_the_request_that_it_was_drawn_for(
    aged_data: AgedData,
) -> None:
    requests, cache = (
        RequestRepository(aged_data.engine),
        ImageCache(aged_data.engine, aged_data.images),
    )
    name = await _kept(aged_data)
    request = await request_steps.claimed(requests, await aged_data.row(State.QUEUED))
    cached_image = await cache.find(request, PLAN)
    assert cached_image is not None

    reused_request = await cache.reuse(request, cached_image, PLAN, url=None)
    await aged_data.retention().erase_all_due()

    assert reused_request is not None
    assert aged_data.file(name).exists()


async def test_a_picture_is_not_let_go_while_it_is_taken(aged_data: AgedData) -> None:
    requests, cache = (
        RequestRepository(aged_data.engine),
        ImageCache(aged_data.engine, aged_data.images),
    )
    await _kept(aged_data)
    request = await request_steps.claimed(requests, await aged_data.row(State.QUEUED))
    cached_image = await cache.find(request, PLAN)
    assert cached_image is not None

    # A purge that has deleted the row and has not committed yet.
    async with aged_data.sessions.begin() as session:
        await session.execute(delete(ImageRequest).where(ImageRequest.id != request.id))
        reusing = asyncio.create_task(cache.reuse(request, cached_image, PLAN, url=None))
        await asyncio.wait({reusing}, timeout=0.2)
        is_waiting = not reusing.done()

    assert is_waiting
    assert await reusing is None


async def _kept(aged_data: AgedData) -> str:
    """Store the picture of a request that is old enough to be purged; return its name."""
    await conversations.put_dialog(aged_data.sessions)
    name = await aged_data.picture(days=100)
    drawn = {"width": 8, "height": 8, "cache_key": PLAN.cache_key, "drawn_rating": PLAN.rating}
    await aged_data.row(State.DELIVERED, days=100, image=name, **drawn)
    return name


@pytest.mark.parametrize(("mode", "seeds"), [("dialog", 2), ("story", 1), ("random", 2)])
async def test_the_mode_says_which_pictures_share_a_seed(
    products: ProductFactory, mode: str, seeds: int
) -> None:
    async with products.start(seed_mode=mode) as product:
        pictures = [await product.picture(**STORY, reply=reply) for reply in ("rain", "sun")]

        assert len({picture.seed for picture in pictures}) == seeds


async def _drawn_ratings(sessions: Sessions) -> list[str | None]:
    return [row.drawn_rating for row in await conversations.requests_of(sessions)]
