"""A simulated Telegram, and a bot that calls it."""

from collections.abc import AsyncIterator

import pytest

from imagegen.sandbox.telegram import SandboxTelegram
from tests.support.bot_api import BotApi, bot_api


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram(webhook_retry_s=0.01) as server:
        yield server


@pytest.fixture
async def api(telegram: SandboxTelegram) -> AsyncIterator[BotApi]:
    async with bot_api(telegram) as opened:
        yield opened
