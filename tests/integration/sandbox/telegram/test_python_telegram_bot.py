"""A bot on python-telegram-bot works against the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto, Update
from telegram.constants import ParseMode
from telegram.error import BadRequest, Forbidden, RetryAfter
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes
from telegram.helpers import escape_markdown

from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from tests.support.bot_api import png
from tests.support.patience import PATIENCE_S

ANNA = 1001


async def photo(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    assert update.message is not None
    await update.message.reply_chat_action("upload_photo")
    await update.message.reply_photo(
        png("red"),
        caption=f"*{escape_markdown('At the sea.', version=2)}*",
        parse_mode=ParseMode.MARKDOWN_V2,
        has_spoiler=True,
        reply_markup=InlineKeyboardMarkup(
            [[InlineKeyboardButton("Another one", callback_data="vary")]]
        ),
    )


async def vary(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    query = update.callback_query
    assert query is not None
    await query.edit_message_media(InputMediaPhoto(png("blue")))
    await query.answer("Here it is", show_alert=True)


def application(telegram: SandboxTelegram) -> Application:  # type: ignore[type-arg]
    built = (
        Application.builder()
        .token(telegram.token)
        .base_url(f"{telegram.url}/bot")
        .base_file_url(f"{telegram.url}/file/bot")
        .build()
    )
    built.add_handler(CommandHandler("photo", photo))
    built.add_handler(CallbackQueryHandler(vary, pattern="^vary$"))
    return built


@asynccontextmanager
async def bot_running(telegram: SandboxTelegram) -> AsyncIterator[None]:
    async with application(telegram) as running:
        await running.start()
        assert running.updater is not None
        await running.updater.start_polling(poll_interval=0, timeout=20)
        try:
            yield
        finally:
            await running.updater.stop()
            await running.stop()


async def test_a_photo_is_asked_for_and_varied(telegram: SandboxTelegram) -> None:
    anna = telegram.person(ANNA)
    async with bot_running(telegram):
        anna.write("/photo at the sea")
        [sent] = await telegram.wait_for(1, timeout=PATIENCE_S)
        answer = await asyncio.wait_for(anna.answer(anna.press(sent.message_id, "Another one")), 20)

    assert (sent.photo, sent.caption, sent.has_spoiler) == (png("red"), "At the sea.", True)
    assert sent.entities == ({"type": "bold", "offset": 0, "length": 11},)
    assert (answer.text, answer.show_alert) == ("Here it is", True)
    assert anna.messages()[-1].photo == png("blue")


async def test_a_document_is_sent_and_downloaded(telegram: SandboxTelegram) -> None:
    async with application(telegram) as running:
        sent = await running.bot.send_document(ANNA, png(), filename="picture.png")
        album = await running.bot.send_media_group(ANNA, [InputMediaPhoto(png())] * 2)
        chat = await running.bot.get_chat(ANNA)
        assert sent.document is not None
        file = await sent.document.get_file()
        downloaded = await file.download_as_bytearray()

    assert bytes(downloaded) == png()
    assert sent.document.file_name == "picture.png"
    assert len({message.media_group_id for message in album}) == 1
    assert chat.type == "private"


@pytest.mark.filterwarnings("ignore:Deprecated.*retry_after:DeprecationWarning")
async def test_its_errors_are_those_of_the_real_one(telegram: SandboxTelegram) -> None:
    telegram.block(ANNA + 1)
    async with application(telegram) as running:
        telegram.script(Trouble.flood(7))
        with pytest.raises(RetryAfter):
            await running.bot.send_message(ANNA, "hi")
        with pytest.raises(Forbidden):
            await running.bot.send_message(ANNA + 1, "hi")
        with pytest.raises(BadRequest, match="can't find end of bold entity at byte offset 0"):
            await running.bot.send_message(ANNA, "*hi", parse_mode=ParseMode.MARKDOWN_V2)
