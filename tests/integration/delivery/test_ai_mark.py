"""A picture says that a machine made it: its file to programs, and by setting its photo to people."""

import io
from pathlib import Path

import pytest
from PIL import Image

from chatflow_hook import Rating
from chatflow_hook.tables import State
from imagegen.sandbox.telegram import Trouble, errors
from tests.support import pictures
from tests.support.product import ProductFactory

UNREADABLE = Trouble(refusal=errors.image_process_failed())
STORY = {"story": "a week by the sea", "text": "we sit on the beach"}
IN_ENGLISH, IN_RUSSIAN = "Picture made by AI", "Картинка создана ИИ"


def stored_files(home: Path) -> list[bytes]:
    return [file.read_bytes() for file in (home / "images").rglob("*.*")]


def lower_left_corner(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as picture:
        width, height = picture.size
        return picture.convert("L").crop((0, height * 9 // 10, width // 8, height))


@pytest.mark.parametrize("transcode", [None, "webp;90"])
async def test_a_stored_picture_says_it_to_programs_and_tells_nothing_else(
    products: ProductFactory, tmp_path: Path, transcode: str | None
) -> None:
    async with products.start(comfyui_transcode=transcode) as product:
        await product.picture(chat_id=None)

        (prompt,) = product.prompts()
    (file,) = stored_files(tmp_path)
    assert pictures.digital_source_type(file) == pictures.AI_MADE
    assert prompt.encode()[:20] not in file
    with Image.open(io.BytesIO(file)) as picture:
        assert not {"prompt", "workflow", "exif", "comment"} & picture.info.keys()


async def test_a_document_says_it_to_programs(products: ProductFactory) -> None:
    async with products.start() as product:
        product.telegram.script(UNREADABLE, UNREADABLE, method="sendPhoto")

        await product.picture()

        (message,) = product.telegram.sent
    assert message.document is not None
    assert pictures.digital_source_type(message.document) == pictures.AI_MADE


async def test_a_photo_has_no_visible_mark_unless_it_is_switched_on(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start() as product:
        await product.picture(caption="Look!")

        (message,) = product.telegram.sent
    assert message.caption == "Look!"
    assert [message.photo] == stored_files(tmp_path)


async def test_a_mark_in_the_corner_is_drawn_into_the_photo_and_not_into_the_stored_picture(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(delivery_ai_mark="corner") as product:
        picture = await product.picture(caption="Look!")

        (message,) = product.telegram.sent
    assert picture.state is State.DELIVERED
    assert message.caption == "Look!"
    assert message.photo is not None
    (stored,) = stored_files(tmp_path)
    assert lower_left_corner(message.photo) != lower_left_corner(stored)
    with Image.open(io.BytesIO(stored)) as drawn, Image.open(io.BytesIO(message.photo)) as photo:
        assert photo.size == drawn.size
    assert pictures.digital_source_type(message.photo) == pictures.AI_MADE


async def test_a_photo_that_was_sent_without_the_mark_is_sent_again_with_it(
    products: ProductFactory,
) -> None:
    async with products.start(seed_mode="story") as product:
        await product.picture(**STORY)
    async with products.start(seed_mode="story", delivery_ai_mark="corner") as product:
        await product.picture(**STORY)
        await product.picture(**STORY)

        first, second = product.telegram.sent
        assert product.hosts[0].posted == []
    assert first.photo is not None
    assert first.photo.startswith(b"\xff\xd8\xff")
    assert second.photo == first.photo


async def test_a_line_below_the_caption_is_in_the_persons_language(
    products: ProductFactory,
) -> None:
    async with products.start(delivery_ai_mark="caption") as product:
        await product.picture(dialog_id=1, language="ru-RU", caption="Смотри!")
        await product.picture(dialog_id=2, language="de", caption="Schau!")
        await product.picture(dialog_id=3, language=None)

        captions = [message.caption for message in product.telegram.sent]
    assert captions == [f"Смотри!\n\n{IN_RUSSIAN}", f"Schau!\n\n{IN_ENGLISH}", IN_ENGLISH]


async def test_a_photo_that_telegram_has_gets_the_line_without_an_upload(
    products: ProductFactory,
) -> None:
    async with products.start(seed_mode="story", delivery_ai_mark="caption") as product:
        await product.picture(**STORY)
        await product.picture(**STORY)

        first, second = product.telegram.sent
    assert first.file_id == second.file_id
    assert first.caption == second.caption == IN_ENGLISH


async def test_behind_a_spoiler_the_line_can_be_read_at_once(products: ProductFactory) -> None:
    async with products.start(max_rating="suggestive", delivery_ai_mark="both") as product:
        await product.hook.confirm_age(1001)

        await product.picture(rating=Rating.SUGGESTIVE, chat_type="private")

        (message,) = product.telegram.sent
    assert message.has_spoiler
    assert message.caption == IN_ENGLISH
    assert message.photo is not None
    assert message.photo.startswith(b"\xff\xd8\xff")


async def test_a_document_has_the_line_in_place_of_the_corner(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(delivery_ai_mark="corner") as product:
        product.telegram.script(UNREADABLE, method="sendPhoto")

        await product.picture(language="ru")

        (message,) = product.telegram.sent
    assert [message.document] == stored_files(tmp_path)
    assert message.caption == IN_RUSSIAN
