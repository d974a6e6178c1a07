"""The demo's chat: the persona bot polls the simulated Telegram, whose web page a person uses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from chatflow_hook import ChatFlowHook, Rating, Request
from chatflow_hook.bot import announce_commands
from chatflow_hook.settings import HookSettings
from imagegen.db.engine import connect
from imagegen.requests.covers import Covers
from imagegen.sandbox.demo.persona_bot import PersonaBot
from imagegen.sandbox.telegram import SandboxTelegram

_FIRST_CHAT = 1001

# Who confirms their age is shown what a spoiler looks like; the shipped wording stays dressed.
WORKER_SETTINGS: Mapping[str, str] = {
    "MAX_RATING": "suggestive",
    "DELIVERY_BUTTONS": "another,file,hide,report",
    "DELIVERY_BUTTONS_UNDER": "all",
    "DELIVERY_PROGRESS": "message",
}

_COVERS_PER_PERSONA = 2

# Longer than a bot's own: nobody but this demo waits for the database of this machine.
TURN_TIMEOUT_S = 15.0


async def serve(
    telegram: SandboxTelegram,
    *,
    hook_settings: HookSettings,
    personas: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Run the bot, and say where its chat is; runs until it is cancelled."""
    async with (
        ChatFlowHook(hook_settings, turn_timeout_s=TURN_TIMEOUT_S) as hook,
        running_bot(hook, telegram, personas=personas),
    ):
        await order_covers(hook, hook_settings.database_url.get_secret_value(), personas)
        say(f"Chat with a persona: {telegram.url}/chat/{_FIRST_CHAT} (until Ctrl-C)")
        await asyncio.Event().wait()


@asynccontextmanager
async def running_bot(
    hook: ChatFlowHook, telegram: SandboxTelegram, *, personas: Sequence[str]
) -> AsyncIterator[PersonaBot]:
    """Run the persona bot by long polling while the block runs."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))
    persona_bot = PersonaBot(hook=hook, personas=tuple(personas), rating=Rating.SUGGESTIVE)
    dispatcher = persona_bot.dispatcher()
    async with Bot(telegram.token, session=session) as bot:
        await announce_commands(bot)
        polling = asyncio.create_task(
            dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False),
            name="persona bot",
        )
        try:
            yield persona_bot
        finally:
            # Cancelled, aiogram would go on polling.
            with suppress(RuntimeError):  # it has not begun
                await dispatcher.stop_polling()
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling


async def order_covers(hook: ChatFlowHook, database_url: str, personas: Sequence[str]) -> None:
    """Order the personas' covers, which the worker draws meanwhile."""
    engine = connect(database_url)
    try:
        for cover in await Covers(engine).order(personas, _COVERS_PER_PERSONA):
            await hook.enqueue(Request(id=cover.request_id, dialog_id=0, message_count=0))
    finally:
        await engine.dispose()
