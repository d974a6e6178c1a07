"""A bot on aiogram 3 works against the sandbox, by polling and by webhook."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    MessageGenerationStopped,
)
from aiogram.utils.text_decorations import html_decoration
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from imagegen.sandbox.telegram import SandboxTelegram
from tests.support.bot_api import png
from tests.support.patience import PATIENCE_S

ANNA = 1001

Running = Callable[[Dispatcher, Bot], Coroutine[None, None, None]]


def router() -> Router:
    """A bot that sends a photo, another one at a press, and stops when it is told to."""
    routes = Router()

    @routes.message(Command("photo"))
    async def photo(message: Message, bot: Bot) -> None:
        await bot.set_my_commands([BotCommand(command="photo", description="A photo")])
        await bot.send_message_draft(message.chat.id, 7, text="I draw", can_stop=True)
        await bot.send_chat_action(message.chat.id, "upload_photo")
        more = InlineKeyboardButton(text="Another one", callback_data="vary")
        await message.reply_photo(
            BufferedInputFile(png("red"), "a.png"),
            caption=html_decoration.bold("At the sea"),
            parse_mode="HTML",
            reply_markup=InlineKeyboardMarkup(inline_keyboard=[[more]]),
        )

    @routes.callback_query(F.data == "vary")
    async def vary(query: CallbackQuery) -> None:
        assert isinstance(query.message, Message)
        media = InputMediaPhoto(media=BufferedInputFile(png("blue"), "b.png"))
        await query.message.edit_media(media)
        await query.answer("Here it is")

    @routes.stopped_message_generation()
    async def stopped(update: MessageGenerationStopped, bot: Bot) -> None:
        await bot.send_message(update.chat.id, f"Stopped {update.draft_id}")

    return routes


async def polling(dispatcher: Dispatcher, bot: Bot) -> None:
    await dispatcher.start_polling(bot, polling_timeout=20, handle_signals=False)


async def webhook(dispatcher: Dispatcher, bot: Bot) -> None:
    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, secret_token="s-1").register(app, "/hook")
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        await bot.set_webhook(url, secret_token="s-1")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@asynccontextmanager
async def bot_running(telegram: SandboxTelegram, run: Running) -> AsyncIterator[None]:
    api = TelegramAPIServer.from_base(telegram.url)
    dispatcher = Dispatcher()
    dispatcher.include_router(router())
    async with Bot(telegram.token, session=AiohttpSession(api=api)) as bot:
        running = asyncio.create_task(run(dispatcher, bot))
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.mark.parametrize("run", [polling, webhook])
async def test_a_photo_is_asked_for_varied_and_stopped(
    telegram: SandboxTelegram, run: Running
) -> None:
    anna = telegram.person(ANNA)
    async with bot_running(telegram, run):
        asked = anna.write("/photo at the sea")
        [photo] = await telegram.wait_for(1, timeout=PATIENCE_S)
        answer = await asyncio.wait_for(anna.answer(anna.press(photo.message_id, "vary")), 20)
        await telegram.wait_for(1, timeout=PATIENCE_S, method="editMessageMedia")

    assert (photo.photo, photo.caption) == (png("red"), "At the sea")
    assert photo.entities == ({"type": "bold", "offset": 0, "length": 10},)
    assert photo.reply_to_message_id == asked
    assert answer.text == "Here it is"
    assert anna.messages()[-1].photo == png("blue")
    commands = telegram.chats.commands.shown(
        chat_id=anna.chat_id, user_id=anna.user_id, language="en"
    )
    assert [each["command"] for each in commands] == ["photo"]


@pytest.mark.parametrize("run", [polling, webhook])
async def test_a_stop_comes_to_its_handler(telegram: SandboxTelegram, run: Running) -> None:
    anna = telegram.person(ANNA)
    async with bot_running(telegram, run):
        with telegram.holding_uploads():
            anna.write("/photo")
            await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")
            anna.stop(7)
            [told] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendMessage")
        await telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")

    assert told.text == "Stopped 7"


async def test_aiogram_reads_all_that_the_sandbox_answers(telegram: SandboxTelegram) -> None:
    api = TelegramAPIServer.from_base(telegram.url)
    async with Bot(telegram.token, session=AiohttpSession(api=api)) as bot:
        file = BufferedInputFile(png(), "a.png")
        album = await bot.send_media_group(ANNA, [InputMediaPhoto(media=file)] * 2)
        copied = await bot.copy_message(ANNA, ANNA, album[0].message_id)
        document = await bot.send_document(ANNA, file, disable_content_type_detection=True)
        chat = await bot.get_chat(ANNA)
        webhook_info = await bot.get_webhook_info()
        assert document.document is not None
        downloaded = await bot.download(document.document)
        assert await bot.delete_messages(ANNA, [copied.message_id])

    assert downloaded is not None
    assert downloaded.read() == png()
    assert (chat.type, webhook_info.url) == ("private", "")
