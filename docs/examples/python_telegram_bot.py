"""A bot on python-telegram-bot: `python python_telegram_bot.py`."""

import asyncio
import os
from collections import defaultdict

from chatflow_hook import ChatFlowHook, DatabaseFault, Limited, NothingToVary, SentPhoto, Turn
from telegram.ext import Application, CommandHandler, MessageHandler, filters

API = os.getenv("TELEGRAM_API_URL", "https://api.telegram.org")
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
        language=message.from_user.language_code,
    )


async def talk(update, _):
    answer = "I'm walking in the park. And you?"  # your language model's answer
    await update.message.reply_text(answer)
    await hook.on_turn(turn_of(update.message, answer))
    said = [("user", update.message.text), ("assistant", answer)]
    histories[update.message.chat.id] += [{"role": role, "content": text} for role, text in said]


async def photo(update, _):
    await reply_if_none_comes(update.message, hook.ask(turn_of(update.message)))


async def another(update, _):
    shown = update.message.reply_to_message
    if shown is None:
        await update.message.reply_text("Write /another in reply to a photo.")
        return
    varied = hook.vary(SentPhoto(chat_id=shown.chat.id, message_id=shown.message_id))
    await reply_if_none_comes(update.message, varied)


async def reply_if_none_comes(message, asking):
    try:
        asked = await asking
    except NothingToVary:
        await message.reply_text("I have no other one of that.")
    except DatabaseFault:
        await message.reply_text("I can't find my camera.")
    else:
        if isinstance(asked, Limited):
            await message.reply_text(f"The next one is free at {asked.free_at:%H:%M} UTC.")


async def remember(end):
    note = f"[photo {end.picture.state}: {end.picture.summary}]"
    histories[end.chat_id].append({"role": "system", "content": note})


async def start(application):
    application.bot_data["ends"] = asyncio.create_task(hook.on_end(remember))


async def stop(application):
    application.bot_data["ends"].cancel()
    await hook.close()


application = (
    Application.builder()
    .token(os.environ["TELEGRAM_BOT_TOKEN"])
    .base_url(f"{API}/bot")
    .base_file_url(f"{API}/file/bot")
    .post_init(start)
    .post_shutdown(stop)
    .build()
)
application.add_handler(CommandHandler("photo", photo))
application.add_handler(CommandHandler("another", another))
application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, talk))
application.run_polling()
