"""A whole persona bot on aiogram 3: personas to choose from, talk, and pictures.

    pip install 'chatflow-imagegen[sandbox]'
    TELEGRAM_BOT_TOKEN=… DATABASE_URL=… REDIS_URL=… python -m imagegen.sandbox.demo.persona_bot

TALK_LLM_URL (with TALK_LLM_MODEL and TALK_LLM_API_KEY) is the address of an OpenAI-compatible
server, up to `/v1`, that writes the answers; without it, and where it fails, personas answer with
the lines of voices.toml. TURN_RATING is how far pictures may go at most, `safe` if it is not set.
Dialogs are kept in memory: after a restart people choose again.
"""

import asyncio
import os
import sys
import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import structlog
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
)
from aiogram.utils.chat_action import ChatActionSender

import chatflow_hook
from chatflow_hook import ChatFlowHook, DatabaseFault, Limited, Rating, Turn
from chatflow_hook.bot import TurnMiddleware, announce_commands, picture_router, turn_from
from chatflow_hook.settings import BadSetting, read
from imagegen.settings import TelegramSettings

log = structlog.get_logger(__name__)

VOICES: Mapping[str, Any] = tomllib.loads(
    Path(__file__).with_name("voices.toml").read_text("utf-8")
)
WELCOME = {
    "en": "Hello! I am an AI, not a human: the people here are made up, and their photos are made by a machine. /privacy says what is kept. With whom would you like to talk?",
    "ru": "Привет! Я ИИ, а не человек: люди здесь вымышленные, и фото делает машина. Что хранится, скажет /privacy. С кем поговорим?",
}
ONE_MOMENT = {
    "en": "One moment, the photo is on its way.",
    "ru": "Минутку, фото уже скоро будет.",
}
_SYSTEM = "You are {name}, {about}: a fictional adult, played by an AI. Never claim to be human. Answer in the user's language, warmly, in one to three short sentences, and say where you are and what you do. Keep it harmless."


@dataclass
class PersonaChat:
    """A person's chat with a persona: the newest messages, and how many answers there were.

    `chosen_below` is the message whose button has begun it.
    """

    persona: str
    chosen_below: int
    history: deque[chatflow_hook.Message] = field(default_factory=lambda: deque(maxlen=6))
    answers: int = 0


@dataclass(frozen=True, kw_only=True)
class PersonaBot:
    """The bot's handlers; `llm` None means canned lines. Pictures are all the library's."""

    hook: ChatFlowHook
    personas: tuple[str, ...] = tuple(VOICES)
    rating: Rating = Rating.SAFE
    llm: httpx.AsyncClient | None = None
    chats: dict[int, PersonaChat] = field(default_factory=dict)

    def dispatcher(self) -> Dispatcher:
        """Return a dispatcher with the pictures' commands and buttons, and the talk."""
        talk = Router(name="talk")
        talk.message.register(self.start, CommandStart())
        talk.callback_query.register(self.choose, F.data.startswith("persona:"))
        talk.message.register(self.talk, F.text)
        dispatcher = Dispatcher()
        dispatcher.include_router(picture_router(self.hook, self.turn_of, on_forget=self.forget))
        dispatcher.message.middleware(TurnMiddleware(self.hook, self.turn_of))
        dispatcher.include_router(talk)
        return dispatcher

    async def turn_of(self, message: Message) -> Turn | None:
        dialog = self.chats.get(message.chat.id)
        if dialog is None:
            return None
        history = tuple(dialog.history)
        return turn_from(message, persona=dialog.persona, history=history, rating=self.rating)

    async def forget(self, user_id: int) -> None:
        self.chats.pop(user_id, None)

    async def start(self, message: Message) -> None:
        names = [
            InlineKeyboardButton(text=name.capitalize(), callback_data=f"persona:{name}")
            for name in self.personas
        ]
        rows = [names[index : index + 2] for index in range(0, len(names), 2)]
        welcome = WELCOME[_language(message.from_user)]
        await message.answer(welcome, reply_markup=InlineKeyboardMarkup(inline_keyboard=rows))

    async def choose(self, query: CallbackQuery) -> None:
        persona = (query.data or "").removeprefix("persona:")
        if persona not in self.personas or not isinstance(query.message, Message):
            await query.answer()
            return
        chat, message_id = query.message.chat, query.message.message_id
        dialog = self.chats.get(chat.id)
        if dialog is not None and dialog.chosen_below == message_id:  # several were pressed quickly
            await query.answer()
            return
        dialog = self.chats[chat.id] = PersonaChat(persona=persona, chosen_below=message_id)
        await query.answer()
        language = _language(query.from_user)
        greeting = _voice(persona)[language]["greeting"]
        dialog.history.append(chatflow_hook.Message(role="persona", text=greeting))
        await query.message.edit_text(f"{WELCOME[language]}\n\n→ {persona.capitalize()}")
        await query.message.answer(greeting)
        await self.hook.on_dialog_start(
            Turn(
                dialog_id=chat.id,
                user_id=query.from_user.id,
                chat_id=chat.id,
                chat_type=chat.type,
                persona=persona,
                text="",
                language=language,
            )
        )

    async def talk(self, message: Message, turn: Turn | None) -> Message | None:
        if turn is None or message.bot is None:
            await self.start(message)
            return None
        dialog = self.chats[message.chat.id]
        async with ChatActionSender.typing(bot=message.bot, chat_id=message.chat.id):
            answer, entities = await self.answer(dialog, turn), None
        if self.hook.wants_picture(turn.text):
            answer, entities = await self._ask(turn) or (answer, None)
        dialog.answers += 1
        dialog.history.append(chatflow_hook.Message(role="user", text=turn.text))
        dialog.history.append(chatflow_hook.Message(role="persona", text=answer))
        return await message.answer(answer, entities=entities)

    async def _ask(self, turn: Turn) -> tuple[str, list[MessageEntity] | None] | None:
        """Ask for a picture; return what is said to that, None for what she would say anyway."""
        try:
            asked = await self.hook.ask(turn)
        except (DatabaseFault, LookupError):  # the persona goes on talking
            return None
        if isinstance(asked, Limited):
            limited = self.hook.limited_message(asked, language=turn.language)
            return limited.text, [MessageEntity.model_validate(each) for each in limited.entities]
        if self.llm is not None:
            return None
        return ONE_MOMENT["ru" if turn.language == "ru" else "en"], None

    async def answer(self, dialog: PersonaChat, turn: Turn) -> str:
        """Return the model's answer, or the persona's next line where there is none."""
        voice = _voice(dialog.persona)
        lines = voice["ru" if turn.language == "ru" else "en"]["lines"]
        if self.llm is None:
            return str(lines[dialog.answers % len(lines)])
        said = [
            {"role": {"persona": "assistant"}.get(each.role, "user"), "content": each.text}
            for each in turn.history
        ]
        system = _SYSTEM.format(name=dialog.persona.capitalize(), about=voice["about"])
        messages = [
            {"role": "system", "content": system},
            *said,
            {"role": "user", "content": turn.text},
        ]
        request = {
            "model": os.environ.get("TALK_LLM_MODEL", "default"),
            "messages": messages,
            "max_tokens": 200,
        }
        try:
            answered = (await self.llm.post("chat/completions", json=request)).raise_for_status()
            return (
                str(answered.json()["choices"][0]["message"]["content"]).strip()[:4000] or lines[0]
            )
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            log.warning("the language model did not answer", error=type(error).__name__)
            return str(lines[dialog.answers % len(lines)])


def _voice(persona: str) -> Any:
    # A persona of an operator's own has no lines here.
    return VOICES.get(persona) or VOICES["lina"]


def _language(user: Any) -> str:
    return "ru" if user is not None and (user.language_code or "").startswith("ru") else "en"


async def main() -> None:
    """Run the bot with the settings of the environment until it is stopped.

    Raises:
        BadSetting: a setting is missing or has a value that cannot be used.
    """
    telegram = read(TelegramSettings)
    api = TelegramAPIServer.from_base(str(telegram.telegram_api_url))
    token = telegram.telegram_bot_token.get_secret_value()
    url, key = os.environ.get("TALK_LLM_URL"), os.environ.get("TALK_LLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    rating = os.environ.get("TURN_RATING", Rating.SAFE)
    if rating not in set(Rating):
        raise BadSetting(f"TURN_RATING is none of {', '.join(Rating)}")
    async with (
        ChatFlowHook.from_env() as hook,
        Bot(token, session=AiohttpSession(api=api)) as bot,
        httpx.AsyncClient(base_url=url or "", headers=headers, timeout=20) as client,
    ):
        await announce_commands(bot)
        persona_bot = PersonaBot(hook=hook, rating=Rating(rating), llm=client if url else None)
        await persona_bot.dispatcher().start_polling(bot)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BadSetting as bad_setting:
        sys.exit(str(bad_setting))
