"""From a chat message to the photo in the chat and the watermark: every arrow of the way."""

import io
from pathlib import Path

import pytest
from aiohttp import ClientSession
from PIL import Image
from redis.asyncio import Redis
from sqlalchemy import select

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery, SendOutcome
from tests.support import conversations, pictures
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

PERSONAS = ("ash", "julie", "lina", "marriana", "may", "stacy", "taya", "una")


@pytest.fixture
def products(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> ProductFactory:
    return ProductFactory(database_url, redis_url, sessions, tmp_path / "картинки")


async def test_a_chat_message_becomes_a_photo_and_the_watermark_moves(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        asked_by = product.telegram.write(1001, "Let's walk in the autumn park")

        request = await product.ask(
            text="Let's walk in the autumn park",
            caption="For you",
            has_spoiler=True,
            message_count=3,
            reply_to_message_id=asked_by,
        )
        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        (photo,) = product.telegram.sent
        assert (photo.chat_id, photo.caption, photo.has_spoiler) == (1001, "For you", True)
        assert photo.reply_to_message_id == asked_by
        assert photo.message_id == picture.telegram_message_id
        assert photo.photo is not None
        with Image.open(io.BytesIO(photo.photo)) as image:
            assert image.size == (picture.width, picture.height)
        (posted,) = product.hosts[0].posted
        row = await conversations.row(sessions, request.id)
        assert (posted.prompt_id, posted.client_id) == (str(row.prompt_id), str(row.prompt_id))
        (prompt,) = product.prompts()
        assert "park" in prompt
        assert "autumn" in prompt
        assert row.conversation is None, "what people wrote is erased at the end"
        assert (await conversations.dialog(sessions)).last_image_generation_at == 3


async def test_the_send_is_in_the_ledger(products: ProductFactory, sessions: Sessions) -> None:
    async with products.start() as product:
        picture = await product.picture()

    async with sessions() as session:
        (delivery,) = (await session.execute(select(Delivery))).scalars()
    assert delivery.outcome == SendOutcome.SENT
    assert delivery.message_id == picture.telegram_message_id


async def test_nothing_of_the_workflow_travels_with_the_picture(products: ProductFactory) -> None:
    async with products.start() as product:
        await product.picture(text="a secret garden")
        (photo,) = product.telegram.sent

    assert photo.photo is not None
    assert b"secret garden" not in photo.photo
    assert b"KSampler" not in photo.photo
    # Only that a machine has made it.
    assert pictures.digital_source_type(photo.photo) == pictures.AI_MADE
    with Image.open(io.BytesIO(photo.photo)) as image:
        assert {*image.info} <= {"xmp", "XML:com.adobe.xmp"}


async def test_all_eight_personas_are_drawn_on_two_hosts(products: ProductFactory) -> None:
    async with products.start(hosts=2, seconds_per_picture=0.05) as product:
        requests = [
            await product.ask(dialog_id=number, persona=persona)
            for number, persona in enumerate(PERSONAS, 1)
        ]
        pictures = [await product.hook.wait(request, timeout=PATIENCE_S) for request in requests]

        assert [picture.state for picture in pictures] == [State.DELIVERED] * 8
        assert len({message.photo for message in product.telegram.sent}) == 8
        assert all(len(host.posted) >= 2 for host in product.hosts)


async def test_pictures_come_again_and_again_in_one_dialog(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        for count in (3, 6, 9):
            await product.picture()

            assert (await conversations.dialog(sessions)).last_image_generation_at == count
        assert len({message.photo for message in product.telegram.sent}) == 3


async def test_without_a_chat_the_picture_is_kept_for_the_caller(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(image_url_base="https://pictures.example/store") as product:
        picture = await product.picture(chat_id=None)

        assert picture.state is State.DELIVERED
        assert picture.url is not None
        assert picture.url.startswith("https://pictures.example/store/")
        assert product.telegram.calls == []
        assert (await conversations.dialog(sessions)).last_image_generation_at == 3


async def test_a_request_written_while_no_worker_ran_is_drawn_when_one_comes(
    products: ProductFactory,
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED


async def test_nothing_is_left_on_the_host_and_in_redis(
    products: ProductFactory, redis_url: str
) -> None:
    async with products.start(works=False) as product, ClientSession() as session:
        request = await product.ask()
        async with product.worker():
            await product.hook.wait(request, timeout=PATIENCE_S)

        answer = await session.get(f"http://{product.hosts[0].address}/history")
        assert await answer.json() == {}
        for db in (3, 4):
            async with Redis.from_url(redis_url, db=db) as redis:
                assert await redis.keys("*") == []
