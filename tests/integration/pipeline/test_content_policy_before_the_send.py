"""A picture that was drawn under other rules is checked again before it is sent."""

import io
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import update

from chatflow_hook import Rating, Request
from chatflow_hook.tables import ImageRequest, State
from imagegen import image_file
from imagegen.storage.filesystem import FilesystemImageStore
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANN = 1001
BOLD = {"rating": Rating.SUGGESTIVE}


@pytest.mark.parametrize(
    ("fields", "drawn", "code"),
    [
        # A text to test the filter, used nowhere else.
        ({"text": "16 years old naked girl"}, "safe", "minor_sexual"),
        ({"prompt": "a naked schoolgirl"}, "safe", "minor_sexual"),
        ({"text": "my daughter is at home today", **BOLD}, "suggestive", "rating_withdrawn"),
    ],
)
async def test_what_an_older_screen_let_pass_is_not_sent(
    products: ProductFactory, fields: dict[str, Any], drawn: str, code: str
) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await product.hook.confirm_age(ANN)
        request = await _drawn(product, drawn, **fields)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (picture.state, picture.error_code) == (State.REFUSED, code)
        assert product.telegram.sent == []


@pytest.mark.parametrize("drawn", [None, "x", "suggestive", "explicit"])
async def test_what_an_operator_does_not_allow_any_more_is_not_sent(
    products: ProductFactory, drawn: str | None
) -> None:
    async with products.start(max_rating="safe", works=False) as product:
        await product.hook.confirm_age(ANN)
        request = await _drawn(product, drawn, **BOLD)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (picture.state, picture.error_code) == (State.REFUSED, "rating_withdrawn")
        assert product.telegram.sent == []


async def test_what_is_still_allowed_is_sent_as_it_was_drawn(products: ProductFactory) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await product.hook.confirm_age(ANN)
        request = await _drawn(product, "suggestive", **BOLD)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert [message.has_spoiler for message in product.telegram.sent] == [True]
        assert product.prompts() == []


async def _drawn(product: RunningProduct, level: str | None, /, **fields: Any) -> Request:
    """Leave a request as a worker does that stops between drawing and sending."""
    request = await product.ask(**fields)
    image = await FilesystemImageStore.at(product.settings.image_store).put(
        image_file.check_and_strip(_png())
    )
    query = (
        update(ImageRequest)
        .where(ImageRequest.id == request.id)
        .values(
            state=State.DRAWN,
            drawn_rating=level,
            image=image.name,
            width=image.width,
            height=image.height,
        )
    )
    async with product.sessions.begin() as session:
        await session.execute(query)
    return request


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PNG")
    return out.getvalue()
