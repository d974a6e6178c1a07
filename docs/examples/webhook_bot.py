"""A bot that Telegram calls, behind a proxy that has TLS: `python webhook_bot.py`."""

import asyncio
import os

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from chatflow_hook import ChatFlowHook, Turn

SECRET = os.environ["WEBHOOK_SECRET"]  # Telegram sends it with each update
api = TelegramAPIServer.from_base(os.getenv("TELEGRAM_API_URL", "https://api.telegram.org"))
bot = Bot(os.environ["TELEGRAM_BOT_TOKEN"], session=AiohttpSession(api=api))
dispatcher = Dispatcher()
hook = ChatFlowHook.from_env()


@dispatcher.message(F.text)
async def talk(message):
    answer = "I'm walking in the park. And you?"  # your language model's answer
    turn = Turn(
        dialog_id=message.chat.id,
        user_id=message.from_user.id,
        chat_id=message.chat.id,
        persona="lina",
        text=message.text,
        reply=answer,
        reply_to_message_id=message.message_id,  # so that an update that comes twice counts once
    )
    await hook.on_turn(turn)
    await message.answer(answer)


async def remember(end):
    """Tell your language model of the photo; see paid_pictures.py."""


@dispatcher.startup()
async def set_webhook():
    await bot.set_webhook(os.environ["WEBHOOK_URL"], secret_token=SECRET)


async def tell_ends(_):
    ends = asyncio.create_task(hook.on_end(remember))
    try:
        yield
    finally:
        ends.cancel()
        await hook.close()


app = web.Application()
app.cleanup_ctx.append(tell_ends)
handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=SECRET)
handler.register(app, path="/telegram")
setup_application(app, dispatcher)
web.run_app(app, host="127.0.0.1", port=int(os.getenv("WEBHOOK_PORT", "8090")))
