"""What does not need the image is decided while a host draws it."""

import asyncio

from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory


async def test_the_persona_says_its_caption_while_the_host_draws(
    products: ProductFactory, sessions: Sessions
) -> None:
    gate = StepGate()
    async with products.start(sleep=gate.sleep) as product:
        request = await product.ask(caption=None)
        async with asyncio.timeout(PATIENCE_S):
            await gate.moved.wait()
            gate.release()  # the host begins, and stops before its first node
            while (await conversations.row(sessions, request.id)).persona_caption is None:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        row = await conversations.row(sessions, request.id)

        gate.release_all()
        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (row.state, picture.state) == (State.DRAWING, State.DELIVERED)
        assert [message.caption for message in product.telegram.sent] == [row.persona_caption]
