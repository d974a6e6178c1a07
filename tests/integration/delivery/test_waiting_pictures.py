"""A picture that may not be sent yet costs nothing: it is neither read nor fetched nor drawn again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text, update
from structlog.testing import capture_logs

from chatflow_hook import Request
from chatflow_hook.tables import ImageRequest, State
from imagegen.delivery.rate_limit import FloodControl
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANNA = 1001
# Telegram takes 20 messages a minute for it.
GROUP = -100_500
# Its image is not in the store, so the request would fail if that was read.
DRAWN = {
    "state": State.DRAWN,
    "image": request_steps.IMAGE.name,
    "width": request_steps.IMAGE.width,
    "height": request_steps.IMAGE.height,
}
# No host has its prompt, so it would be drawn again.
DRAWING = {"state": State.DRAWING, "prompt_id": UUID(int=7), "host": "gpu-1", "draw": 1}


@pytest.fixture
async def flood_control(redis_url: str) -> AsyncIterator[FloodControl]:
    async with Redis.from_url(redis_url, db=4) as redis:
        yield FloodControl(redis)


@pytest.mark.parametrize("values", [DRAWN, DRAWING], ids=["drawn", "drawing"])
async def test_a_picture_that_has_to_wait_is_left_where_it_is(
    products: ProductFactory,
    sessions: Sessions,
    flood_control: FloodControl,
    values: Mapping[str, Any],
) -> None:
    await flood_control.pause(ANNA, 60)
    with capture_logs() as logged:
        async with products.start(works=False) as product:
            request = await product.ask(chat_id=ANNA)
            async with sessions.begin() as session:
                await session.execute(
                    update(ImageRequest).where(ImageRequest.id == request.id).values(values)
                )
            async with product.worker():
                await until_ended_or_waiting(logged)

        row = await conversations.row(sessions, request.id)
        assert (row.state, row.error_code, row.attempts) == (values["state"], None, 0)
        assert product.hosts[0].posted == []
        assert product.telegram.calls == []


async def test_pictures_that_are_ready_at_the_same_time_do_not_exceed_the_limits_together(
    products: ProductFactory, sessions: Sessions
) -> None:
    with capture_logs() as logged:
        async with products.start(hosts=4, delivery_progress="off") as product:
            earlier = [await ask_in_group(product, number) for number in range(1, 20)]
            for request in earlier:
                await product.hook.wait(request, timeout=PATIENCE_S)

            async with sessions.begin() as session:
                # A picture that may be sent cannot be written down, so it is not sent yet.
                await session.execute(text("LOCK TABLE deliveries IN SHARE MODE"))
                for number in (20, 21):
                    await ask_in_group(product, number)
                await until_ended_or_waiting(logged)

        waits = [line["code"] for line in logged if line["event"] == "request waits"]
        assert waits == ["flood_wait"]
        assert len(product.telegram.sent) == 20


async def ask_in_group(product: RunningProduct, number: int) -> Request:
    return await product.ask(dialog_id=number, chat_id=GROUP, chat_type="supergroup")


async def until_ended_or_waiting(logged: list[Any]) -> None:
    """Wait until the worker has let go of the request."""
    async with asyncio.timeout(PATIENCE_S):
        while not {"request waits", "request ended"} & {line["event"] for line in logged}:  # noqa: ASYNC110 (a list gives no event)
            await asyncio.sleep(0.01)
