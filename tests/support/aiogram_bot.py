"""Bots on aiogram that poll the simulated Telegram."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from imagegen.sandbox.telegram import SandboxTelegram


def bot_of(telegram: SandboxTelegram, *, parse_mode: str | None = None) -> Bot:
    """Return a bot of the simulated Telegram; the caller closes it with `async with`."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))
    properties = DefaultBotProperties(parse_mode=parse_mode)
    return Bot(telegram.token, session=session, default=properties)


@asynccontextmanager
async def polling(
    dispatcher: Dispatcher, telegram: SandboxTelegram, *, parse_mode: str | None = None
) -> AsyncIterator[Bot]:
    """Let a dispatcher poll while the block runs; it handles one update after the other."""
    async with bot_of(telegram, parse_mode=parse_mode) as bot:
        task = asyncio.create_task(
            dispatcher.start_polling(
                bot, handle_as_tasks=False, handle_signals=False, close_bot_session=False
            ),
            name="polling",
        )
        try:
            yield bot
        finally:
            # Cancelled, aiogram would go on polling.
            with suppress(RuntimeError):  # it has not begun
                await dispatcher.stop_polling()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
