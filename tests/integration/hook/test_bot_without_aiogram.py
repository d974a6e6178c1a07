"""The example on python-telegram-bot does what the router for aiogram does."""

import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from telegram.ext import ApplicationBuilder

from chatflow_hook import ChatFlowHook
from imagegen.sandbox.telegram import SandboxTelegram
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory, RunningProduct

ANNA = 1001
PATIENCE_S = 20.0
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "bot_without_aiogram.py"


@asynccontextmanager
async def running(hook: ChatFlowHook, telegram: SandboxTelegram) -> AsyncIterator[None]:
    """Run the example's bot while the block runs."""
    application = (
        ApplicationBuilder()
        .token(telegram.token)
        .base_url(f"{telegram.url}/bot")
        .base_file_url(f"{telegram.url}/file/bot")
        .build()
    )
    runpy.run_path(str(EXAMPLE))["Bot"](hook).add_to(application)
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(poll_interval=0, timeout=20)
        try:
            yield
        finally:
            await application.updater.stop()
            await application.stop()


async def recorded(product: RunningProduct, sessions: Sessions) -> None:
    """Wait until the photos that have come are delivered in their rows, too."""
    for request in await conversations.requests_of(sessions, ANNA):
        await product.hook.wait(request.id, timeout=PATIENCE_S)


async def test_it_talks_asks_the_age_sends_photos_and_forgets(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(
        max_rating="suggestive", delivery_buttons="another,hide", delivery_captions=False
    ) as product:
        telegram = product.telegram
        anna = telegram.person(ANNA)
        async with running(product.hook, telegram):
            anna.write("Hello")
            [answer, question] = await telegram.wait_for(2, timeout=PATIENCE_S)
            anna.press(question.message_id, "Yes, I am 18 or older")
            await telegram.wait_for(1, timeout=PATIENCE_S, method="editMessageText")
            assert await product.hook.has_confirmed_age(ANNA)

            anna.write("/photo at the sea")
            [photo] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")
            await recorded(product, sessions)
            anna.press(photo.message_id, "Another one")
            [_, another] = await telegram.wait_for(2, timeout=PATIENCE_S, method="sendPhoto")
            await recorded(product, sessions)
            anna.press(another.message_id, "Hide")
            await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="deleteMessage")

            anna.write("/forget_me")
            messages = await telegram.wait_for(3, timeout=PATIENCE_S, method="sendMessage")
            anna.press(messages[-1].message_id, "Yes, forget me")
            await telegram.wait_for(2, timeout=PATIENCE_S, method="editMessageText")
            await telegram.wait_for_calls(2, timeout=PATIENCE_S, method="deleteMessage")

    assert answer.text == "You said: Hello"
    assert await conversations.requests_of(sessions, ANNA) == []
    assert not any(message.photo for message in anna.messages())
