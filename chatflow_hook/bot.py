"""Pictures for an aiogram bot in two lines: a router with the commands, and a middleware that counts.

    dispatcher.include_router(picture_router(hook, turn_of))
    dispatcher.message.middleware(TurnMiddleware(hook, turn_of))

`turn_of` is the bot's own: it makes a Turn of a message, mostly by `turn_from`. aiogram is imported
here only, and the bot installs it. Every handler is a call of the hook and an answer in words, so a
bot on another library does the same with the same calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot, F, Router
from aiogram.enums import ChatAction
from aiogram.exceptions import TelegramAPIError, TelegramRetryAfter
from aiogram.filters import Command, CommandObject
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    TelegramObject,
    User,
)

from chatflow_hook.bot_texts import BotTexts
from chatflow_hook.database import DatabaseFault
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.quota import Limited
from chatflow_hook.turn import Rating, Turn
from chatflow_hook.user_erasure import SentPhoto

log = structlog.get_logger(__name__)

# Makes a turn of a message; None where nobody talks to a persona yet.
TurnOf = Callable[[Message], Awaitable[Turn | None]]

# The ids of a user's dialogs, and what erases what the bot itself keeps of a user.
DialogsOf = Callable[[int], Awaitable[Collection[int]]]
OnForget = Callable[[int], Awaitable[None]]

# Both begin the data of our buttons; the worker's buttons begin otherwise.
_AGE = "cf:age"
_FORGET = "cf:forget"

_MAX_ASKED = 10_000


def turn_from(message: Message, *, persona: str, dialog_id: int | None = None, **more: Any) -> Turn:
    """Make the turn of a message: its ids, words and language; `more` are further fields of Turn.

    Without a `dialog_id` a chat is one dialog. A message without words, such as a voice message,
    has an empty text.

    Raises:
        ValidationError: pydantic's, a ValueError: a field is unknown or of the wrong type.
        ValueError: nobody has sent the message, as in a channel.
    """
    if message.from_user is None:
        raise ValueError("a message of nobody is no turn")
    fields: dict[str, Any] = {
        "dialog_id": message.chat.id if dialog_id is None else dialog_id,
        "user_id": message.from_user.id,
        "chat_id": message.chat.id,
        "chat_type": message.chat.type,
        "persona": persona,
        "text": message.text or message.caption or "",
        "language": message.from_user.language_code,
        "reply_to_message_id": message.message_id,
        "message_thread_id": message.message_thread_id if message.is_topic_message else None,
    }
    return Turn(**(fields | more))


class TurnMiddleware(BaseMiddleware):
    """Counts each message that a handler has answered, and asks for the age where it matters.

    An inner middleware of messages: `dispatcher.message.middleware(...)`. A message that begins
    with `/` is not counted. The turn is made before the handler, which gets it as `turn`, None without one. What the
    handler returns is the persona's answer: the message that it sent (`return await
    message.answer(...)`), the call that sends it, or a text.

    Whoever wants photos above safe in their private chat is asked for the age once in a run of
    the bot, and not as long as they have confirmed it or have said to be under 18.
    """

    def __init__(
        self, hook: ChatFlowHook, turn_of: TurnOf, *, texts: BotTexts | None = None
    ) -> None:
        self._hook = hook
        self._turn_of = turn_of
        self._texts = texts or BotTexts()
        self._asked: dict[int, None] = {}

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Make the turn, run the handler, then count. Raises what `turn_of` or the handler raise."""
        data["turn"] = None
        if not isinstance(event, Message) or event.from_user is None or _is_command(event):
            return await handler(event, data)
        turn = data["turn"] = await self._turn_of(event)
        answer = await handler(event, data)
        if turn is not None:
            await self._hook.on_turn(_changed(turn, reply=turn.reply or _words(answer)))
            await self._ask_age(event, turn)
        return answer

    async def _ask_age(self, message: Message, turn: Turn) -> None:
        if turn.rating is Rating.SAFE or turn.chat_id != turn.user_id:
            return
        if turn.user_id in self._asked:
            return
        try:
            if not await self._hook.may_ask_age(turn.user_id):
                return
        except DatabaseFault as error:
            log.warning("age not asked", why=str(error))
            return
        self._asked[turn.user_id] = None
        if len(self._asked) > _MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        await message.answer(
            self._texts.text("age_question", turn.language),
            reply_markup=age_buttons(self._texts, turn.language),
        )


def age_buttons(texts: BotTexts, language: str | None) -> InlineKeyboardMarkup:
    """Return the buttons below the age question; they say under which text they stand."""
    shown = f"{texts.language(language)}:{texts.digest('age_question', language)}"
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [_button(texts.text("age_yes", language), f"{_AGE}:yes:{shown}")],
            [_button(texts.text("age_no", language), f"{_AGE}:no:{shown}")],
        ]
    )


def picture_router(
    hook: ChatFlowHook,
    turn_of: TurnOf,
    *,
    texts: BotTexts | None = None,
    dialogs_of: DialogsOf | None = None,
    on_forget: OnForget | None = None,
) -> Router:
    """Return a router with /photo, /privacy, /forget_me and the buttons of pictures.

    Include it before routers that take every message; handlers of the dispatcher itself come before
    all routers. `dialogs_of` names the dialogs of a user, for a bot whose dialogs have ids of their
    own; without it the dialog of a private chat has the chat's id. `on_forget` erases what the
    bot keeps of a user, after the hook has forgotten them.
    """
    handlers = _Handlers(
        hook=hook,
        turn_of=turn_of,
        texts=texts or BotTexts(),
        dialogs_of=dialogs_of or _the_private_chat,
        on_forget=on_forget,
    )
    router = Router(name="pictures")
    router.message.register(handlers.photo, Command("photo"))
    router.message.register(handlers.privacy, Command("privacy"))
    router.message.register(handlers.forget_me, Command("forget_me"))
    router.callback_query.register(handlers.age, F.data.startswith(f"{_AGE}:"))
    router.callback_query.register(handlers.forget, F.data.startswith(f"{_FORGET}:"))
    return router


async def announce_commands(bot: Bot, texts: BotTexts | None = None) -> None:
    """Show the router's commands in the menu of the chat, in each language.

    Raises:
        TelegramAPIError: Telegram could not be asked, or refused.
    """
    texts = texts or BotTexts()
    for language in (None, *texts.languages):
        commands = [
            BotCommand(command=name, description=texts.text(key, language))
            for name, key in (
                ("photo", "photo_command"),
                ("privacy", "privacy_command"),
                ("forget_me", "forget_command"),
            )
        ]
        await bot.set_my_commands(commands, language_code=language)


@dataclass(frozen=True, kw_only=True)
class _Handlers:
    """What the commands and buttons do: each is a call of the hook, and an answer in words."""

    hook: ChatFlowHook
    turn_of: TurnOf
    texts: BotTexts
    dialogs_of: DialogsOf
    on_forget: OnForget | None

    async def photo(self, message: Message, command: CommandObject) -> None:
        """Ask for a picture of what follows the command, or of the conversation as it is."""
        language = _language(message.from_user)
        turn = await self.turn_of(message) if message.from_user else None
        if turn is None:
            await message.answer(self.texts.text("no_dialog", language))
            return
        words = command.args or self.texts.text("photo_words", language)
        try:
            asked = await self.hook.ask(_changed(turn, text=words, reply=None))
        except (DatabaseFault, LookupError) as error:
            log.warning("picture not asked for", why=str(error))
            await message.answer(self.texts.text("unavailable", language))
            return
        if isinstance(asked, Limited):
            at = f"{asked.free_at:%H:%M}"
            await message.answer(self.texts.text("limited", language, time=at))
            return
        with suppress(TelegramAPIError):  # the worker goes on showing it
            await _bot(message).send_chat_action(
                message.chat.id,
                ChatAction.UPLOAD_PHOTO,
                message_thread_id=turn.message_thread_id,
            )

    async def privacy(self, message: Message) -> None:
        """Say what is kept of a user."""
        await message.answer(self.texts.text("privacy", _language(message.from_user)))

    async def forget_me(self, message: Message) -> None:
        """Ask whether to forget the user; only their own press counts."""
        if message.from_user is None:
            return
        user_id, language = message.from_user.id, _language(message.from_user)
        keyboard = [
            [_button(self.texts.text("forget_yes", language), f"{_FORGET}:yes:{user_id}")],
            [_button(self.texts.text("forget_no", language), f"{_FORGET}:no:{user_id}")],
        ]
        await message.answer(
            self.texts.text("forget_question", language),
            reply_markup=InlineKeyboardMarkup(inline_keyboard=keyboard),
        )

    async def age(self, query: CallbackQuery) -> None:
        """Store the answer to the age question, unless its text has changed since."""
        answer, language, digest = (query.data or "").removeprefix(f"{_AGE}:").split(":")
        if self.texts.digest("age_question", language) != digest:
            await self._replace(query, "age_outdated", language)
            return
        try:
            is_adult = answer == "yes" and await self.hook.confirm_age(
                query.from_user.id, language=language
            )
        except DatabaseFault as error:
            log.warning("age not stored", why=str(error))
            await query.answer(self.texts.text("unavailable", language), show_alert=True)
            return
        await self._replace(query, "age_confirmed" if is_adult else "age_declined", language)

    async def forget(self, query: CallbackQuery) -> None:
        """Forget the user who has asked for it, and delete their photos in the chats."""
        user_id, language = query.from_user.id, _language(query.from_user)
        answer, _, asker = (query.data or "").removeprefix(f"{_FORGET}:").partition(":")
        if asker != str(user_id):
            await query.answer(self.texts.text("not_yours", language), show_alert=True)
            return
        if answer != "yes":
            await self._replace(query, "forget_kept", language)
            return
        try:
            dialog_ids = await self.dialogs_of(user_id)
            forgotten = await self.hook.forget_user(user_id, dialog_ids=dialog_ids)
        except DatabaseFault as error:
            log.warning("user not forgotten", why=str(error))
            await query.answer(self.texts.text("forget_failed", language), show_alert=True)
            return
        if self.on_forget is not None:
            await self.on_forget(user_id)
        await self._replace(query, "forgotten", language)
        await _delete_photos(_bot(query), forgotten.photos)

    async def _replace(self, query: CallbackQuery, key: str, language: str | None) -> None:
        """Put a text in the place of the question and its buttons, and end the press."""
        await query.answer()
        if isinstance(query.message, Message):
            with suppress(TelegramAPIError):  # deleted meanwhile, or too old to be edited
                await query.message.edit_text(self.texts.text(key, language))


async def _delete_photos(bot: Bot, photos: Collection[SentPhoto]) -> None:
    """Delete a user's photos; Telegram refuses those that are older than 48 hours."""
    for photo in photos:
        while True:
            try:
                await bot.delete_message(photo.chat_id, photo.message_id)
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
                continue
            except TelegramAPIError as error:
                log.info("photo not deleted", error=type(error).__name__)
            break


async def _the_private_chat(user_id: int) -> Collection[int]:
    return (user_id,)


def _changed(turn: Turn, **changes: Any) -> Turn:
    fields = {name: getattr(turn, name) for name in Turn.model_fields}
    return Turn(**(fields | changes))


def _is_command(message: Message) -> bool:
    return (message.text or "").startswith("/")


def _words(answer: Any) -> str | None:
    """Return the words of what a handler returned: a text, a message, or a call that sends one."""
    if isinstance(answer, str):
        return answer
    for name in ("text", "caption"):
        if isinstance(words := getattr(answer, name, None), str):
            return words
    return None


def _language(user: User | None) -> str | None:
    return user.language_code if user else None


def _bot(event: TelegramObject) -> Bot:
    if event.bot is None:  # every event of a dispatcher has one
        raise RuntimeError("an event without a bot")
    return event.bot


def _button(text: str, data: str) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data)
