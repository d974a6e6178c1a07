"""Answers of a host that are no image: each ends with an error code, and the worker goes on."""

import io
from collections.abc import Callable

import pytest
from aiohttp import web
from PIL import Image

from chatflow_hook.tables import State
from tests.support.misbehaving_comfyui import (
    STARTS,
    SUCCEEDS,
    Answer,
    answer_bytes,
    misbehaving,
    sends,
)
from tests.support.product import ProductFactory
from tests.support.shipped_workflows import shipped_workflows


async def finished(request: web.Request) -> web.StreamResponse:
    """Answer from a history in which every prompt of ash has ended well."""
    node = shipped_workflows().find("ash").inputs.save
    images = [{"filename": "x.png", "subfolder": "", "type": "temp"}]
    entry = {"status": {"status_str": "success"}, "outputs": {node: {"images": images}}}
    return web.json_response({request.path.rpartition("/")[2]: entry})


def gives(data: bytes) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, content_type="image/png")

    return answer


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("view", "code"),
    [
        (lambda: gives(b"<html>no picture</html>"), "picture_broken"),
        (lambda: gives(png(64, 64)[:60]), "picture_broken"),
        (lambda: gives(b""), "picture_broken"),
        (lambda: gives(png(20_000, 16)), "picture_too_large"),
        (lambda: answer_bytes(60 * 2**20), "picture_too_large"),
    ],
    ids=["a page", "half a picture", "nothing", "20,000 px wide", "60 MB"],
)
async def test_what_is_no_picture_ends_under_its_name(
    products: ProductFactory, view: Callable[[], Answer], code: str
) -> None:
    answers = {"GET /history": finished, "GET /view": view()}
    async with (
        misbehaving(sends(STARTS, SUCCEEDS), answers) as host,
        products.start(hosts=0, comfyui_hosts=host.address) as product,
    ):
        first = await product.picture(persona="ash")
        second = await product.picture(dialog_id=2, persona="ash")

        assert (first.state, first.error_code) == (State.FAILED, code)
        assert (second.state, second.error_code) == (State.FAILED, code)
        assert product.telegram.sent == []
