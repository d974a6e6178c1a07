"""The example of docs/persona-bot.md: two lines, and a handler that answers every message."""

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher, F, Router

from chatflow_hook import ChatFlowHook, Turn
from chatflow_hook.tables import Kind
from imagegen.sandbox.telegram import SandboxTelegram
from tests.support import conversations
from tests.support.aiogram_bot import polling
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S

PAGE = (Path(__file__).parents[3] / "docs" / "persona-bot.md").read_text("utf-8")
[EXAMPLE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

ANNA, STRANGER = 1001, 1002


@dataclass(frozen=True, kw_only=True)
class Dialog:
    id: int
    persona: str = "lina"
    history: deque[Any] = field(default_factory=deque)


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as made:
        yield made


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


def documented_bot(hook: ChatFlowHook) -> Dispatcher:
    """The bot of the page; what the page calls yours is here."""

    async def find_dialog(chat_id: int) -> Dialog | None:
        return Dialog(id=chat_id) if chat_id == ANNA else None

    async def think(turn: Turn) -> str:
        return f"I think of {turn.text}"

    names: dict[str, Any] = {
        "F": F,
        "dispatcher": Dispatcher(),
        "find_dialog": find_dialog,
        "hook": hook,
        "talk": Router(),
        "think": think,
    }
    exec(compile(EXAMPLE, "persona-bot.md", "exec"), names)  # noqa: S102 (our own page)
    names["dispatcher"].include_router(names["talk"])
    bot = names["dispatcher"]
    assert isinstance(bot, Dispatcher)
    return bot


@pytest.mark.parametrize(
    ("user_id", "text"), [(ANNA, "/unknown"), (ANNA, "/start"), (STRANGER, "Hello")]
)
async def test_who_writes_a_command_or_talks_to_nobody_yet_is_answered(
    telegram: SandboxTelegram, hook: ChatFlowHook, user_id: int, text: str
) -> None:
    async with polling(documented_bot(hook), telegram):
        telegram.person(user_id).write(text)
        [answer] = await telegram.wait_for(1, timeout=PATIENCE_S)

    assert answer.chat_id == user_id
    assert "/start" in str(answer.text)


async def test_a_photo_that_is_asked_for_in_talk_is_requested_once_and_the_talk_goes_on(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with polling(documented_bot(hook), telegram):
        anna = telegram.person(ANNA)
        anna.write("Hello")
        anna.write("Send me a photo of you")
        sent = await telegram.wait_for(2, timeout=PATIENCE_S)

    assert [message.text for message in sent] == [
        "I think of Hello",
        "I think of Send me a photo of you",
    ]
    [request] = await conversations.requests_of(sessions, ANNA)
    assert request.kind == Kind.ASKED
