"""Bots on aiogram that poll the simulated Telegram."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from imagegen.sandbox.telegram import SandboxTelegram


@asynccontextmanager
async def polling(dispatcher: Dispatcher, telegram: SandboxTelegram) -> AsyncIterator[Bot]:
    """Let a dispatcher poll while the block runs."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=session) as bot:
        task = asyncio.create_task(
            dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False),
            name="polling",
        )
        try:
            yield bot
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
