"""A user with many requests does not delay a user with one."""

from sqlalchemy import select

from chatflow_hook import Request
from chatflow_hook.tables import ImageRequest, State
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

ANN, BOB = 1, 2


async def test_one_request_is_drawn_before_the_rest_of_many(
    products: ProductFactory, sessions: Sessions
) -> None:
    bot = {"asked_images_per_minute": 0}
    async with products.start(
        bot=bot, comfyui_slots_per_host=1, seconds_per_picture=0.3
    ) as product:
        asked = [await product.hook.ask(turn(dialog_id=10 + n, user_id=ANN)) for n in range(8)]
        asked.append(await product.hook.ask(turn(dialog_id=BOB, user_id=BOB)))
        for request in asked:
            assert isinstance(request, Request)
            ended = await product.hook.wait(request, timeout=PATIENCE_S)
            assert ended.state is State.DELIVERED

    async with sessions() as session:
        query = select(ImageRequest.user_id).order_by(ImageRequest.finished_at)
        order = list((await session.execute(query)).scalars())
    # One was being drawn when Bob came, and perhaps the next was on its way.
    assert order.index(BOB) <= 3
