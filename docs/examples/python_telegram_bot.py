"""A bot on python-telegram-bot: `python python_telegram_bot.py`."""

import asyncio
import os
from collections import defaultdict
from contextlib import suppress

from chatflow_hook import ChatFlowHook, DatabaseFault, Limited, NothingToVary, SentPhoto, Turn
from chatflow_hook.bot_texts import BotTexts
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity
from telegram.error import TelegramError
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, MessageHandler, filters

API = os.getenv("TELEGRAM_API_URL", "https://api.telegram.org")
RATING = os.getenv("RATING", "safe")  # how daring photos may be: safe, suggestive, explicit
hook = ChatFlowHook.from_env()
texts = BotTexts()  # in English and Russian
histories = defaultdict(list)  # what was said in each chat, for your language model


def turn_of(message, text, reply=None):
    return Turn(
        dialog_id=message.chat.id,
        user_id=message.from_user.id,
        chat_id=message.chat.id,
        chat_type=message.chat.type,
        persona="lina",
        text=text,
        reply=reply,
        history=histories[message.chat.id],
        rating=RATING,
        reply_to_message_id=message.message_id,
        language=message.from_user.language_code,
    )


async def talk(update, _):
    message = update.message
    answer = "I'm walking in the park. And you?"  # your language model's answer
    await message.reply_text(answer)
    await hook.on_turn(turn_of(message, message.text, answer))
    said = [("user", message.text), ("assistant", answer)]
    histories[message.chat.id] += [{"role": role, "content": text} for role, text in said]
    if RATING != "safe" and message.chat.id == message.from_user.id:
        await ask_age(message)


async def ask_age(message):
    with suppress(DatabaseFault):
        if not await hook.claim_age_question(message.from_user.id):
            return  # asked before, confirmed, or too young
        try:
            await reply(message, "age_question", age_yes="age:yes", age_no="age:no")
        except TelegramError:
            await hook.release_age_question(message.from_user.id)
            raise


async def photo(update, context):
    message = update.message
    words = " ".join(context.args) or texts.text("photo_words", message.from_user.language_code)
    await reply_if_none_comes(message, hook.ask(turn_of(message, words)))


async def another(update, _):
    message = update.message
    shown = message.reply_to_message
    if shown is None:
        await message.reply_text("Write /another in reply to a photo.")
        return
    photo = SentPhoto(chat_id=shown.chat.id, message_id=shown.message_id)
    await reply_if_none_comes(message, hook.vary(photo, user_id=message.from_user.id))


async def reply_if_none_comes(message, asking):
    try:
        asked = await asking
    except NothingToVary:
        await message.reply_text("I have no other one of that.")
    except DatabaseFault:
        await reply(message, "unavailable")
    else:
        if isinstance(asked, Limited):
            limited = hook.limited_message(asked, language=message.from_user.language_code)
            entities = MessageEntity.de_list(list(map(dict, limited.entities)), None)
            await message.reply_text(limited.text, entities=entities)


async def privacy(update, _):
    await reply(update.message, "privacy")


async def forget_me(update, _):
    user_id = update.message.from_user.id
    buttons = {"forget_yes": f"forget:yes:{user_id}", "forget_no": f"forget:no:{user_id}"}
    await reply(update.message, "forget_question", **buttons)


async def reply(message, key, **buttons):
    language = message.from_user.language_code
    keyboard = [
        [InlineKeyboardButton(texts.text(label, language), callback_data=data)]
        for label, data in buttons.items()
    ]
    await message.reply_text(
        texts.text(key, language),
        reply_markup=InlineKeyboardMarkup(keyboard) if keyboard else None,
    )


async def pressed(update, context):
    query = update.callback_query
    kind, _, answer = query.data.partition(":")
    try:
        if kind == "age":
            await age_pressed(query, answer)
        elif kind == "forget":
            await forget_pressed(query, answer, context.bot)
        elif query.data.startswith("pic1:cancel:"):
            await cancel_pressed(query)
        else:
            await picture_pressed(query)
    except (DatabaseFault, TimeoutError):
        await query.answer(text_for(query, "unavailable"), show_alert=True)


async def age_pressed(query, answer):
    user = query.from_user
    is_adult = answer == "yes" and await hook.confirm_age(user.id, language=user.language_code)
    await replace(query, "age_confirmed" if is_adult else "age_declined")


async def forget_pressed(query, answer, bot):
    said, _, asker = answer.partition(":")
    if asker != str(query.from_user.id):
        await query.answer(text_for(query, "not_yours"), show_alert=True)
        return
    if said != "yes":
        await replace(query, "forget_kept")
        return
    forgotten = await hook.forget_user(query.from_user.id, dialog_ids=[query.from_user.id])
    histories.pop(query.from_user.id, None)
    await replace(query, "forgotten")
    for sent in forgotten.photos:
        with suppress(TelegramError):  # older than 48 hours
            await bot.delete_message(sent.chat_id, sent.message_id)


async def replace(query, key):
    with suppress(TelegramError):  # pressed too long ago; what it did is done
        await query.answer()
    with suppress(TelegramError):  # deleted meanwhile
        await query.edit_message_text(text_for(query, key))


async def cancel_pressed(query):
    if query.message.chat.id != query.from_user.id:  # in a group: below an answer to the asker
        asked = query.message.reply_to_message
        if asked is None or asked.from_user.id != query.from_user.id:
            await query.answer(text_for(query, "not_yours"), show_alert=True)
            return
    picture_id = query.data.removeprefix("pic1:cancel:")
    try:  # the second press finds it cancelled by the first
        is_cancelled = (
            await hook.cancel(picture_id) or (await hook.status(picture_id)).state == "cancelled"
        )
    except LookupError:  # it was erased
        is_cancelled = False
    await query.answer(text_for(query, "cancelled" if is_cancelled else "too_late"))


async def picture_pressed(query):
    answer = await hook.on_button(
        query.data,
        user_id=query.from_user.id,
        chat_id=query.message.chat.id,
        press_id=query.id,
        language=query.from_user.language_code,
    )
    if answer is None:
        return  # a button of your own
    await query.answer(answer.text, show_alert=answer.show_alert)
    if answer.deletes_message:
        with suppress(TelegramError):  # too old: the worker leaves a placeholder
            await query.message.delete()


def text_for(query, key):
    return texts.text(key, query.from_user.language_code)


async def remember(end):
    if end.kind == "file":  # the original of a photo that was told
        return
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
new = filters.UpdateType.MESSAGE  # not one that was edited
commands = {"photo": photo, "another": another, "privacy": privacy, "forget_me": forget_me}
for name, command in commands.items():
    application.add_handler(CommandHandler(name, command, filters=new))
application.add_handler(CallbackQueryHandler(pressed))
application.add_handler(MessageHandler(new & filters.TEXT & ~filters.COMMAND, talk))
application.run_polling()
