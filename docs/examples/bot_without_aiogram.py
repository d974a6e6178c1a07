"""A persona bot on python-telegram-bot, with all that the aiogram router does.

    pip install chatflow-imagegen python-telegram-bot
    TELEGRAM_BOT_TOKEN=… DATABASE_URL=… REDIS_URL=… python bot_without_aiogram.py

One persona, whose answers are an echo: put yours in `think`. Each handler is one call of the hook,
and the words are those of `chatflow_hook.bot_texts`.
"""

import logging
import os
from contextlib import suppress

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from telegram.error import TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

from chatflow_hook import ChatFlowHook, DatabaseFault, Limited, Rating, Turn
from chatflow_hook.bot_texts import BotTexts

TEXTS = BotTexts()
RATING = Rating.SUGGESTIVE
Context = ContextTypes.DEFAULT_TYPE


async def think(text: str) -> str:
    return f"You said: {text}"


class Bot:
    """The handlers; `asked` are those who were asked for their age since the start."""

    def __init__(self, hook: ChatFlowHook) -> None:
        self.hook = hook
        self.asked: set[int] = set()

    def add_to(self, application: "Application") -> None:  # type: ignore[type-arg]
        """Add the handlers to an application."""
        application.add_handler(CommandHandler("photo", self.photo))
        application.add_handler(CommandHandler("privacy", self.privacy))
        application.add_handler(CommandHandler("forget_me", self.forget_me))
        application.add_handler(CallbackQueryHandler(self.age, pattern="^age:"))
        application.add_handler(CallbackQueryHandler(self.forget, pattern="^forget:"))
        application.add_handler(CallbackQueryHandler(self.button))
        application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, self.talk))

    async def talk(self, update: Update, _: Context) -> None:
        message, user = _said(update)
        answer = await think(message.text or "")
        await message.reply_text(answer)
        await self.hook.on_turn(_turn(message, user, message.text or "", reply=answer))
        await self.ask_age(message, user)

    async def ask_age(self, message: Message, user: User) -> None:
        """Ask once, where the answer matters and may be given."""
        if RATING is Rating.SAFE or message.chat_id != user.id or user.id in self.asked:
            return
        with suppress(DatabaseFault):
            if await self.hook.may_ask_age(user.id):
                self.asked.add(user.id)
                await message.reply_text(
                    TEXTS.text("age_question", user.language_code),
                    reply_markup=_buttons(user, age_yes="age:yes", age_no="age:no"),
                )

    async def photo(self, update: Update, context: Context) -> None:
        message, user = _said(update)
        words = " ".join(context.args or ()) or TEXTS.text("photo_words", user.language_code)
        try:
            asked = await self.hook.ask(_turn(message, user, words))
        except (DatabaseFault, LookupError):
            await message.reply_text(TEXTS.text("unavailable", user.language_code))
            return
        if isinstance(asked, Limited):
            time = f"{asked.free_at:%H:%M}"
            await message.reply_text(TEXTS.text("limited", user.language_code, time=time))
            return
        await message.reply_chat_action("upload_photo")

    async def privacy(self, update: Update, _: Context) -> None:
        message, user = _said(update)
        await message.reply_text(TEXTS.text("privacy", user.language_code))

    async def forget_me(self, update: Update, _: Context) -> None:
        message, user = _said(update)
        buttons = {"forget_yes": f"forget:yes:{user.id}", "forget_no": f"forget:no:{user.id}"}
        await message.reply_text(
            TEXTS.text("forget_question", user.language_code),
            reply_markup=_buttons(user, **buttons),
        )

    async def age(self, update: Update, _: Context) -> None:
        query = update.callback_query
        assert query is not None
        user = query.from_user
        try:
            is_adult = query.data == "age:yes" and await self.hook.confirm_age(
                user.id, language=user.language_code
            )
        except DatabaseFault:
            await query.answer(TEXTS.text("unavailable", user.language_code), show_alert=True)
            return
        await query.answer()
        key = "age_confirmed" if is_adult else "age_declined"
        await query.edit_message_text(TEXTS.text(key, user.language_code))

    async def forget(self, update: Update, context: Context) -> None:
        query = update.callback_query
        assert query is not None
        user = query.from_user
        _, answer, asker = (query.data or "").split(":")
        if asker != str(user.id):
            await query.answer(TEXTS.text("not_yours", user.language_code), show_alert=True)
            return
        await query.answer()
        if answer != "yes":
            await query.edit_message_text(TEXTS.text("forget_kept", user.language_code))
            return
        try:
            forgotten = await self.hook.forget_user(user.id, dialog_ids=[user.id])
        except DatabaseFault:
            await query.edit_message_text(TEXTS.text("forget_failed", user.language_code))
            return
        await query.edit_message_text(TEXTS.text("forgotten", user.language_code))
        for photo in forgotten.photos:
            with suppress(TelegramError):  # older than 48 hours
                await context.bot.delete_message(photo.chat_id, photo.message_id)

    async def button(self, update: Update, _: Context) -> None:
        """Carry out a press of a button under a picture."""
        query = update.callback_query
        assert query is not None
        if query.message is None:
            return
        answer = await self.hook.on_button(
            query.data,
            user_id=query.from_user.id,
            chat_id=query.message.chat.id,
            press_id=query.id,
            language=query.from_user.language_code,
        )
        if answer is None:
            return
        await query.answer(answer.text, show_alert=answer.show_alert)
        if answer.deletes_message:
            with suppress(TelegramError):  # too old: the worker leaves a placeholder
                await query.delete_message()


def _said(update: Update) -> tuple[Message, User]:
    message = update.effective_message
    assert message is not None
    assert message.from_user is not None
    return message, message.from_user


def _turn(message: Message, user: User, text: str, *, reply: str | None = None) -> Turn:
    return Turn(
        dialog_id=message.chat_id,
        user_id=user.id,
        chat_id=message.chat_id,
        chat_type=message.chat.type,
        persona="lina",
        text=text,
        reply=reply,
        rating=RATING,
        language=user.language_code,
        reply_to_message_id=message.message_id,
    )


def _buttons(user: User, **data: str) -> InlineKeyboardMarkup:
    rows = [
        [InlineKeyboardButton(TEXTS.text(key, user.language_code), callback_data=value)]
        for key, value in data.items()
    ]
    return InlineKeyboardMarkup(rows)


def main() -> None:
    """Run the bot until it is stopped."""
    logging.basicConfig(level=logging.WARNING)
    hook = ChatFlowHook.from_env()

    async def close(_: "Application") -> None:  # type: ignore[type-arg]
        await hook.close()

    token = os.environ["TELEGRAM_BOT_TOKEN"]
    application = ApplicationBuilder().token(token).post_shutdown(close).build()
    Bot(hook).add_to(application)
    application.run_polling()


if __name__ == "__main__":
    main()
