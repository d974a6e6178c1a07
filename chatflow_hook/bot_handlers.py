"""What the commands and buttons of an aiogram bot do: each is a call of the hook, and an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import structlog
from aiogram import Bot
from aiogram.enums import ChatAction
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.filters import CommandObject
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
    TelegramObject,
    User,
)

from chatflow_hook.bot_texts import BotTexts
from chatflow_hook.database import DatabaseFault
from chatflow_hook.drafts import CANCEL, StoppedDraft
from chatflow_hook.handles import SentPhoto
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.quota import Limited
from chatflow_hook.tables import State
from chatflow_hook.turn import Turn

log = structlog.get_logger(__name__)

# Makes a turn of a message; None where nobody talks to a persona yet.
TurnOf = Callable[[Message], Awaitable[Turn | None]]

# The ids of a user's dialogs, and what erases what the bot itself keeps of a user; each press of
# the button calls it, so it may be called again for somebody of whom nothing is left.
DialogsOf = Callable[[int], Awaitable[Collection[int]]]
OnForget = Callable[[int], Awaitable[None]]

# The time zone of a user, None if nobody knows it.
ZoneOf = Callable[[int], Awaitable[tzinfo | None]]

# How the data of our buttons begins.
AGE = "cf:age:"
FORGET = "cf:forget:"


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """What the commands and buttons do: each is a call of the hook, and an answer in words."""

    hook: ChatFlowHook
    turn_of: TurnOf
    texts: BotTexts
    dialogs_of: DialogsOf
    on_forget: OnForget | None
    zone_of: ZoneOf

    async def photo(self, message: Message, command: CommandObject) -> None:
        """Ask for a picture of what follows the command, or of the conversation as it is."""
        language = _language(message.from_user)
        turn = await self.turn_of(message) if message.from_user else None
        if turn is None:
            await self._say(message, "no_dialog")
            return
        words = command.args or self.texts.text("photo_words", language)
        try:
            asked = await self.hook.ask(changed(turn, text=words, reply=None))
        except (DatabaseFault, LookupError) as error:
            log.warning("picture not asked for", why=str(error))
            await self._say(message, "unavailable")
            return
        if isinstance(asked, Limited):
            zone = await self._zone(turn.user_id)
            limited = self.hook.limited_message(asked, language=language, zone=zone)
            entities = [MessageEntity.model_validate(entity) for entity in limited.entities]
            # Entities count only without the bot's own parse mode.
            await message.answer(limited.text, entities=entities, parse_mode=None)
            return
        with suppress(AiogramError):  # the worker goes on showing it
            await _bot(message).send_chat_action(
                message.chat.id,
                ChatAction.UPLOAD_PHOTO,
                message_thread_id=turn.message_thread_id,
            )

    async def privacy(self, message: Message) -> None:
        """Say what is kept of a user."""
        await self._say(message, "privacy")

    async def forget_me(self, message: Message) -> None:
        """Ask whether to forget the user; only their own press counts."""
        if message.from_user is None:
            return
        user_id, language = message.from_user.id, _language(message.from_user)
        keyboard = [
            [_button(self.texts.text("forget_yes", language), f"{FORGET}yes:{user_id}")],
            [_button(self.texts.text("forget_no", language), f"{FORGET}no:{user_id}")],
        ]
        await self._say(
            message, "forget_question", keyboard=InlineKeyboardMarkup(inline_keyboard=keyboard)
        )

    async def button(self, query: CallbackQuery) -> None:
        """Carry out a press of a button under a picture."""
        if query.message is None:
            return
        answer = await self.hook.on_button(
            query.data,
            user_id=query.from_user.id,
            chat_id=query.message.chat.id,
            press_id=query.id,
            language=_language(query.from_user),
            zone=await self._zone(query.from_user.id),
        )
        if answer is None:
            return
        await _answer(query, answer.text, show_alert=answer.show_alert)
        if answer.deletes_message and isinstance(query.message, Message):
            with suppress(AiogramError):  # too old: the worker leaves a placeholder
                await query.message.delete()

    async def cancel(self, query: CallbackQuery) -> None:
        """Cancel the picture whose status message has the button, for whoever has asked for it."""
        language = _language(query.from_user)
        if not _is_askers(query):
            await _answer(query, self.texts.text("not_yours", language), show_alert=True)
            return
        try:
            is_cancelled = await self._cancelled((query.data or "").removeprefix(CANCEL))
        except (DatabaseFault, TimeoutError) as error:
            log.warning("picture not cancelled", why=str(error))
            await _answer(query, self.texts.text("unavailable", language), show_alert=True)
            return
        key = "cancelled" if is_cancelled else "too_late"
        await _answer(query, self.texts.text(key, language))

    async def stop(self, stopped: Any) -> None:
        """Cancel the picture whose draft a person has stopped: aiogram's MessageGenerationStopped.

        Telegram shows by itself that the draft has stopped, so nothing is answered.
        """
        draft = StoppedDraft(chat_id=stopped.chat.id, draft_id=stopped.draft_id)
        try:
            await self.hook.cancel(draft)
        except DatabaseFault as error:
            log.warning("picture not cancelled", why=str(error))

    async def age(self, query: CallbackQuery) -> None:
        """Store the answer to the age question, unless its text has changed since."""
        answer, language, digest = (query.data or "").removeprefix(AGE).split(":")
        if self.texts.digest("age_question", language) != digest:
            await self._ask_age_anew(query, language)
            return
        try:
            is_adult = answer == "yes" and await self.hook.confirm_age(
                query.from_user.id, language=language
            )
        except DatabaseFault as error:
            log.warning("age not stored", why=str(error))
            await _answer(query, self.texts.text("unavailable", language), show_alert=True)
            return
        await self._replace(query, "age_confirmed" if is_adult else "age_declined", language)

    async def _ask_age_anew(self, query: CallbackQuery, language: str) -> None:
        """Put today's question in the place of one whose text has changed."""
        await _answer(query, self.texts.text("age_outdated", language), show_alert=True)
        await _edit(
            query,
            self.texts.text("age_question", language),
            keyboard=age_buttons(self.texts, language),
        )

    async def forget(self, query: CallbackQuery) -> None:
        """Forget the user who has asked for it, and delete their photos in the chats."""
        user_id, language = query.from_user.id, _language(query.from_user)
        answer, _, asker = (query.data or "").removeprefix(FORGET).partition(":")
        if asker != str(user_id):
            await _answer(query, self.texts.text("not_yours", language), show_alert=True)
            return
        if answer != "yes":
            await self._replace(query, "forget_kept", language)
            return
        try:
            dialog_ids = await self.dialogs_of(user_id)
            forgotten = await self.hook.forget_user(user_id, dialog_ids=dialog_ids)
        except DatabaseFault as error:
            log.warning("user not forgotten", why=str(error))
            await _answer(query, self.texts.text("forget_failed", language), show_alert=True)
            return
        try:
            if self.on_forget is not None:
                await self.on_forget(user_id)
            await self._replace(query, "forgotten", language)
        # Also where the bot is stopped, which then waits for it: nothing is known of these photos any
        # more, so a second press would miss them.
        finally:
            await _delete_photos(_bot(query), forgotten.photos)

    async def _cancelled(self, request_id: str) -> bool:
        """Cancel a request; return whether it is cancelled now, by this press or by one before."""
        if await self.hook.cancel(request_id):
            return True
        try:
            return (await self.hook.status(request_id)).state is State.CANCELLED
        except LookupError:
            return False

    async def _zone(self, user_id: int) -> tzinfo | None:
        """Return the user's time zone; without one, and where the bot cannot say, it is UTC."""
        try:
            return await self.zone_of(user_id)
        except Exception as error:  # noqa: BLE001 (the bot's own code; the answer goes without)
            log.warning("time zone unknown", error=type(error).__name__)
            return None

    async def _replace(self, query: CallbackQuery, key: str, language: str | None) -> None:
        """Put a text in the place of the question and its buttons, and end the press."""
        await _answer(query)
        await _edit(query, self.texts.text(key, language))

    async def _say(
        self, message: Message, key: str, *, keyboard: InlineKeyboardMarkup | None = None
    ) -> None:
        text = self.texts.text(key, _language(message.from_user))
        await message.answer(text, reply_markup=keyboard, parse_mode=None)


async def _answer(
    query: CallbackQuery, text: str | None = None, *, show_alert: bool | None = None
) -> None:
    """Answer a press, which Telegram refuses some minutes later: what the press did is done."""
    with suppress(AiogramError):
        await query.answer(text, show_alert=show_alert)


async def _edit(
    query: CallbackQuery, text: str, *, keyboard: InlineKeyboardMarkup | None = None
) -> None:
    """Put another text into the message with the pressed button, without markup of the bot's own."""
    if isinstance(query.message, Message):
        with suppress(AiogramError):  # deleted meanwhile, or too old to be edited
            await query.message.edit_text(text, reply_markup=keyboard, parse_mode=None)


async def _delete_photos(bot: Bot, photos: Collection[SentPhoto]) -> None:
    """Delete a user's photos; Telegram refuses those that are older than 48 hours."""
    for photo in photos:
        while True:
            try:
                await bot.delete_message(photo.chat_id, photo.message_id)
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
                continue
            except AiogramError as error:
                log.info("photo not deleted", error=type(error).__name__)
            break


def age_buttons(texts: BotTexts, language: str | None) -> InlineKeyboardMarkup:
    """Return the buttons below the age question; they say under which text they stand."""
    shown = f"{texts.language(language)}:{texts.digest('age_question', language)}"
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [_button(texts.text("age_yes", language), f"{AGE}yes:{shown}")],
            [_button(texts.text("age_no", language), f"{AGE}no:{shown}")],
        ]
    )


def changed(turn: Turn, **changes: Any) -> Turn:
    """Return a turn with other values in some fields; it is validated anew."""
    fields = {name: getattr(turn, name) for name in Turn.model_fields}
    return Turn(**(fields | changes))


def _is_askers(query: CallbackQuery) -> bool:
    """Whether somebody presses below a message that answers theirs, or in their private chat."""
    if not isinstance(query.message, Message):
        return False
    if query.message.chat.id == query.from_user.id:
        return True
    asked = query.message.reply_to_message
    return bool(asked and asked.from_user and asked.from_user.id == query.from_user.id)


def _language(user: User | None) -> str | None:
    return user.language_code if user else None


def _bot(event: TelegramObject) -> Bot:
    if event.bot is None:  # every event of a dispatcher has one
        raise RuntimeError("an event without a bot")
    return event.bot


def _button(text: str, data: str) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data)
