import asyncio
import os
from collections import defaultdict

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from chatflow_hook import ChatFlowHook, Turn

api = TelegramAPIServer.from_base(os.getenv("TELEGRAM_API_URL", "https://api.telegram.org"))
bot = Bot(os.environ["TELEGRAM_BOT_TOKEN"], session=AiohttpSession(api=api))
dispatcher = Dispatcher()
hook = ChatFlowHook.from_env()
histories = defaultdict(list)  # what was said in each chat, for your language model


def turn_of(message, reply=None):
    return Turn(
        dialog_id=message.chat.id,
        user_id=message.from_user.id,
        chat_id=message.chat.id,
        persona="lina",
        text=message.text,
        reply=reply,
        history=histories[message.chat.id],
        reply_to_message_id=message.message_id,
    )


@dispatcher.message(F.text.startswith("/photo"))
async def photo(message):
    await hook.ask(turn_of(message))


@dispatcher.message(F.text)
async def talk(message):
    answer = "I'm walking in the park. And you?"  # your language model's answer
    await message.answer(answer)
    await hook.on_turn(turn_of(message, answer))
    said = [("user", message.text), ("assistant", answer)]
    histories[message.chat.id] += [{"role": role, "content": text} for role, text in said]


async def remember(end):
    note = f"[photo {end.picture.state}: {end.picture.summary}]"
    histories[end.chat_id].append({"role": "system", "content": note})


async def main():
    dispatcher["ends"] = asyncio.create_task(hook.on_end(remember))
    await dispatcher.start_polling(bot)


asyncio.run(main())
