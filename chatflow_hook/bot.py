"""Pictures for an aiogram bot in two lines: a router with the commands, and a middleware that counts.

    dispatcher.include_router(picture_router(hook, turn_of))
    dispatcher.message.middleware(TurnMiddleware(hook, turn_of))

`turn_of` is the bot's own: it makes a Turn of a message, mostly by `turn_from`. aiogram is imported
here only, and the bot installs it. Every handler is a call of the hook and an answer in words, so a
bot on another library does the same with the same calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot, F, Router
from aiogram.exceptions import AiogramError
from aiogram.filters import Command
from aiogram.types import BotCommand, Message, TelegramObject

from chatflow_hook.bot_handlers import (
    AGE,
    FORGET,
    DialogsOf,
    Handlers,
    OnForget,
    TurnOf,
    ZoneOf,
    age_buttons,
    changed,
)
from chatflow_hook.bot_texts import BotTexts
from chatflow_hook.buttons import is_ours
from chatflow_hook.database import DatabaseFault
from chatflow_hook.drafts import CANCEL
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.turn import Rating, Turn

__all__ = [
    "BotTexts",
    "TurnMiddleware",
    "announce_commands",
    "picture_router",
    "turn_from",
]

log = structlog.get_logger(__name__)


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

    An inner middleware of messages: `dispatcher.message.middleware(...)`. The turn is made before
    the handler, which gets it as `turn`. It is None, and nothing is counted, for a message that
    begins with `/`, also with a command that the bot does not have, for a message that nobody has
    sent, and where `turn_of` returns None: every handler has to answer without one too. What the
    handler returns is the persona's answer: the message that it sent (`return await
    message.answer(...)`), the call that sends it, or a text.

    Whoever wants photos above safe in their private chat is asked for the age once, whichever
    process asks, and not as long as they have said to be under 18. They are asked again after the
    operator has set another AGE_TEXT_VERSION.
    """

    def __init__(
        self, hook: ChatFlowHook, turn_of: TurnOf, *, texts: BotTexts | None = None
    ) -> None:
        self._hook = hook
        self._turn_of = turn_of
        self._texts = texts or BotTexts()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Make the turn, run the handler, then count. Raises what `turn_of` or the handler raise.

        Nothing that comes after the handler raises: behind a webhook the person would be answered
        again.
        """
        data["turn"] = None
        if not isinstance(event, Message) or event.from_user is None or _is_command(event):
            return await handler(event, data)
        turn = data["turn"] = await self._turn_of(event)
        answer = await handler(event, data)
        if turn is not None:
            await self._hook.on_turn(changed(turn, reply=turn.reply or _words(answer)))
            await self._ask_age(event, turn)
        return answer

    async def _ask_age(self, message: Message, turn: Turn) -> None:
        if turn.rating is Rating.SAFE or turn.chat_id != turn.user_id:
            return
        try:
            if not await self._hook.claim_age_question(turn.user_id):
                return
        except DatabaseFault as error:
            log.warning("age not asked", why=str(error))
            return
        try:
            await message.answer(
                self._texts.text("age_question", turn.language),
                reply_markup=age_buttons(self._texts, turn.language),
                parse_mode=None,
            )
        # Also where the bot is stopped: better asked twice than never.
        except BaseException as error:
            await asyncio.shield(self._not_asked(turn.user_id))
            # A proxy's page instead of an answer is no TelegramAPIError.
            if not isinstance(error, AiogramError):
                raise
            log.warning("age not asked", error=type(error).__name__)

    async def _not_asked(self, user_id: int) -> None:
        try:
            await self._hook.release_age_question(user_id)
        except DatabaseFault as error:
            log.warning("age is not asked again", why=str(error))


def picture_router(  # noqa: PLR0913 (what the bot knows, by name)
    hook: ChatFlowHook,
    turn_of: TurnOf,
    *,
    texts: BotTexts | None = None,
    dialogs_of: DialogsOf | None = None,
    on_forget: OnForget | None = None,
    zone_of: ZoneOf | None = None,
) -> Router:
    """Return a router with /photo, /privacy, /forget_me, the buttons of pictures and of their progress.

    Include it before routers that take every message; handlers of the dispatcher itself come before
    all routers. `dialogs_of` names the dialogs of a user, for a bot whose dialogs have ids of their
    own; without it the dialog of a private chat has the chat's id. `on_forget` erases what the
    bot keeps of a user, after the hook has forgotten them; it is called for each press of the
    button, so it must be possible to call it again, also at the same time; where it raises, the
    photos in the chats are deleted all the same. `zone_of` names the time zone of a user; times are
    told in it, and in UTC where it returns None or raises.
    """
    handlers = Handlers(
        hook=hook,
        turn_of=turn_of,
        texts=texts or BotTexts(),
        dialogs_of=dialogs_of or _the_private_chat,
        on_forget=on_forget,
        zone_of=zone_of or _unknown_zone,
    )
    router = Router(name="pictures")
    router.message.register(handlers.photo, Command("photo"))
    router.message.register(handlers.privacy, Command("privacy"))
    router.message.register(handlers.forget_me, Command("forget_me"))
    router.callback_query.register(handlers.cancel, F.data.startswith(CANCEL))
    router.callback_query.register(handlers.button, F.data.func(is_ours))
    router.callback_query.register(handlers.age, F.data.startswith(AGE))
    router.callback_query.register(handlers.forget, F.data.startswith(FORGET))
    if "stopped_message_generation" in router.observers:  # not in every version of aiogram
        router.observers["stopped_message_generation"].register(handlers.stop)
    return router


async def announce_commands(bot: Bot, texts: BotTexts | None = None) -> None:
    """Show the router's commands in the menu of the chat, in each language.

    Raises:
        AiogramError: Telegram could not be asked, or refused.
    """
    texts = texts or BotTexts()
    for language in (*texts.languages, None):
        commands = [
            BotCommand(command=name, description=texts.text(key, language))
            for name, key in (
                ("photo", "photo_command"),
                ("privacy", "privacy_command"),
                ("forget_me", "forget_command"),
            )
        ]
        await bot.set_my_commands(commands, language_code=language)


async def _the_private_chat(user_id: int) -> Collection[int]:
    return (user_id,)


async def _unknown_zone(_: int) -> None:
    return None


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
