"""A user says to be under 18 while a worker process draws: nothing above safe is sent."""

import asyncio
from pathlib import Path

from chatflow_hook import Rating, Request
from chatflow_hook.tables import State
from tests.support import worker_process
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct
from tests.support.worker_process import QUICK

USERS = (1001, 1002)
END_S = 60.0
BOLD = {"rating": Rating.SUGGESTIVE, "chat_type": "private"}


async def _is_drawing(product: RunningProduct, request: Request) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await product.hook.wait(request, timeout=0.02)).state is not State.DRAWING:
            pass


async def test_what_is_said_while_a_picture_is_drawn_withdraws_it_also_from_the_next_worker(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(works=False, seconds_per_picture=1.5) as product:
        variables = worker_process.environment(product.settings, MAX_RATING="suggestive")
        for user in USERS:
            await product.hook.confirm_age(user)
        async with worker_process.running(tmp_path / "first", variables, command=QUICK):
            request = await product.ask(**BOLD, dialog_id=1)
            await _is_drawing(product, request)
            await product.hook.on_turn(turn(text="честно, мне 15 лет"))
            first = await product.hook.wait(request, timeout=END_S)
            request = await product.ask(**BOLD, dialog_id=2)
            await _is_drawing(product, request)
        # The worker was killed in the middle of the second drawing.
        await product.hook.on_turn(turn(dialog_id=2, text="I'm only 16"))
        async with worker_process.running(tmp_path / "second", variables, command=QUICK):
            second = await product.hook.wait(request, timeout=END_S)

        assert (first.state, first.error_code) == (State.REFUSED, "rating_withdrawn")
        assert (second.state, second.error_code) == (State.REFUSED, "rating_withdrawn")
        assert product.telegram.sent == []
        assert [await product.hook.confirm_age(user) for user in USERS] == [False, False]
