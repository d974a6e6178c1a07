"""A person cancels a picture under its status message, or stops its draft."""

import asyncio

import pytest
from sqlalchemy import update

from chatflow_hook import Request, SentPhoto, StoppedDraft
from chatflow_hook.drafts import cancel_data, draft_id
from chatflow_hook.messages import shipped
from chatflow_hook.tables import ImageRequest, State
from tests.support import conversations
from tests.support.comfyui_client import connect_client
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANNA = 1001
CANCELLED = shipped().sentence(State.CANCELLED, code=None, language="en")


async def asked(product: RunningProduct) -> Request:
    request = await product.hook.ask(turn())
    assert isinstance(request, Request)
    return request


async def status_of(product: RunningProduct, request: Request) -> SentPhoto:
    """Wait until the request has a status message, which the row names."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            row = await conversations.row(product.sessions, request.id)
            if row.status_message_id is not None:
                return SentPhoto(chat_id=ANNA, message_id=row.status_message_id)
            await asyncio.sleep(0.02)


async def until_idle(product: RunningProduct) -> None:
    """Wait until the host neither draws nor has a prompt in its queue."""
    address = product.hosts[0].address
    async with connect_client(address) as client, asyncio.timeout(PATIENCE_S):
        while (await client.get("/prompt"))["exec_info"]["queue_remaining"]:
            await client.wait_for_event("status")


async def test_the_cancel_button_frees_the_gpu_and_says_so(
    products: ProductFactory,
) -> None:
    async with products.start(seconds_per_picture=60, delivery_progress="message") as product:
        request = await asked(product)
        pressed = await status_of(product, request)
        (status,) = product.telegram.chats.current[ANNA].values()
        ((button,),) = status.buttons

        assert await product.hook.cancel(pressed)
        assert not await product.hook.cancel(pressed)
        await product.telegram.wait_for(1, method="editMessageText", timeout=PATIENCE_S)

        assert button["callback_data"] == cancel_data(request.id)
        assert (await product.hook.status(request)).state is State.CANCELLED
        shown = [each.text for each in product.telegram.chats.current[ANNA].values()]
        assert shown == [CANCELLED]
        await until_idle(product)
        assert [prompt.succeeded for prompt in product.hosts[0].drawn] == [False]


async def test_the_stop_button_of_a_draft_cancels_its_request(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(seconds_per_picture=60, delivery_progress="draft") as product:
        request = await asked(product)
        await product.telegram.wait_for_calls(1, method="sendMessageDraft", timeout=PATIENCE_S)

        stopped = StoppedDraft(chat_id=ANNA, draft_id=draft_id(request.id))
        assert await product.hook.cancel(stopped)
        assert not await product.hook.cancel(stopped)

        row = await conversations.row(sessions, request.id)
        assert row.state == State.CANCELLED


@pytest.mark.parametrize("chat_id", [ANNA + 1, 2**70])
async def test_a_draft_of_another_chat_cancels_nothing(
    products: ProductFactory, chat_id: int
) -> None:
    async with products.start(works=False) as product:
        request = await asked(product)

        stopped = StoppedDraft(chat_id=chat_id, draft_id=draft_id(request.id))

        assert not await product.hook.cancel(stopped)
        assert (await product.hook.status(request)).state is State.QUEUED


async def test_the_status_message_of_a_forgotten_user_is_named_to_the_bot(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await asked(product)
        async with sessions.begin() as session:
            await session.execute(update(ImageRequest).values(status_message_id=77))

        forgotten = await product.hook.forget_user(ANNA)

        assert forgotten.photos == (SentPhoto(chat_id=ANNA, message_id=77),)
