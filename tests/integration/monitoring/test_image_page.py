"""A caller without a chat fetches its picture from the worker, where nothing else serves it."""

import io
from collections.abc import AsyncIterator

import aiohttp
import pytest
from PIL import Image
from sqlalchemy import update

from chatflow_hook import Request
from chatflow_hook.tables import ImageRequest
from tests.support import pictures
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory, RunningProduct


@pytest.fixture
async def product(products: ProductFactory) -> AsyncIterator[RunningProduct]:
    async with products.start(web_port=free_port(), image_url_valid=3600) as product:
        yield product


async def delivered(product: RunningProduct) -> tuple[Request, str]:
    """Return a request of an API caller, and the address of its picture."""
    request = await product.hook.ask(turn(chat_id=None, text="by the sea"))
    assert isinstance(request, Request)
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.url is not None
    return request, picture.url


async def fetched(url: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, answer.content_type, await answer.read()


async def change(product: RunningProduct, request: Request, **values: object) -> None:
    async with product.sessions.begin() as session:
        query = update(ImageRequest).where(ImageRequest.id == request.id)
        await session.execute(query.values(**values))


async def test_the_address_of_wait_is_that_of_the_picture_for_the_caller_alone(
    product: RunningProduct,
) -> None:
    request, url = await delivered(product)

    status, kind, data = await fetched(url)

    assert (status, kind) == (200, "image/png")
    with Image.open(io.BytesIO(data)) as image:
        picture = await product.hook.status(request)
        assert image.size == (picture.width, picture.height)
    assert pictures.digital_source_type(data) == pictures.AI_MADE
    for wrong, refused in (
        (url[:-1] + ("0" if url[-1] != "0" else "1"), 403),
        (url.replace("expires=", "expires=9"), 403),
        (url.partition("?")[0], 403),
        (url.replace(str(request.id), "no-id"), 404),
    ):
        assert (await fetched(wrong))[:2] == (refused, "application/json")

    # What may not be seen any more, and what is erased, is not served either.
    await change(product, request, drawn_rating="explicit")
    assert (await fetched(url))[0] == 404
    await change(product, request, drawn_rating="safe", image="0" * 64 + ".png")
    assert (await fetched(url))[0] == 404
    await product.hook.forget_user(1001)
    assert (await fetched(url))[0] == 404


async def test_a_picture_for_a_chat_has_no_such_address(product: RunningProduct) -> None:
    assert (await product.picture()).url is None
