"""The fifteen lines of docs/bot.md, run as they stand there in a bot with tables of its own."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Chat, Message, Update, User
from arq.constants import default_queue_name
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chatflow_hook.tables import State
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.telegram import SandboxTelegram
from tests.support import conversations
from tests.support.conversations import Sessions

PAGE = Path(__file__).parents[2] / "docs" / "bot.md"
CHAT = Chat(id=1001, type="private")
PERSON = User(id=1001, is_bot=False, first_name="Kim")

TABLES = (
    "CREATE TABLE dialogs (id serial PRIMARY KEY, chat_id bigint UNIQUE, persona text NOT NULL)",
    "CREATE TABLE messages (id serial PRIMARY KEY, dialog_id int REFERENCES dialogs, words text)",
)


def the_block() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "  # +" in block]
    return str(block)


async def think(words: str) -> str:
    return f"You said: {words}"


async def save(session: AsyncSession, message: Message, answer: str) -> SimpleNamespace:
    dialog = (
        await session.execute(
            text(
                "INSERT INTO dialogs (chat_id, persona) VALUES (:chat_id, 'Lina')"
                " ON CONFLICT (chat_id) DO UPDATE SET persona = 'Lina' RETURNING id, persona"
            ),
            {"chat_id": message.chat.id},
        )
    ).one()
    await session.execute(
        text("INSERT INTO messages (dialog_id, words) VALUES (:dialog_id, :words)"),
        [{"dialog_id": dialog.id, "words": words} for words in (message.text, answer)],
    )
    return SimpleNamespace(id=dialog.id, persona=dialog.persona)


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as telegram:
        yield telegram


@pytest.fixture
async def sessions(empty_database_url: str) -> AsyncIterator[Sessions]:
    engine = connect(empty_database_url)
    sessions = conversations.sessions_of(engine)
    async with sessions.begin() as session:
        for table in TABLES:
            await session.execute(text(table))
    yield sessions
    await engine.dispose()


@pytest.fixture
async def dispatcher(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    empty_database_url: str,
    redis_url: str,
    sessions: Sessions,
) -> AsyncIterator[Dispatcher]:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    dispatcher = Dispatcher()
    bots_own: dict[str, Any] = {
        "dispatcher": dispatcher,
        "sessions": sessions,
        "think": think,
        "save": save,
    }
    exec(the_block(), bots_own)  # noqa: S102 (the page's own lines are what is tested)
    yield dispatcher
    await dispatcher.emit_shutdown()


async def say_five_messages(dispatcher: Dispatcher, telegram: SandboxTelegram) -> None:
    api = AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=api) as bot:
        for number in range(1, 6):
            said = Message(
                message_id=number,
                date=datetime.now(UTC),
                chat=CHAT,
                from_user=PERSON,
                text=f"Message {number}",
            )
            await dispatcher.feed_update(bot, Update(update_id=number, message=said))


async def words_of_the_bot(sessions: Sessions) -> int:
    async with sessions() as session:
        return int((await session.execute(text("SELECT count(*) FROM messages"))).scalar_one())


def test_it_is_fifteen_lines() -> None:
    assert len(re.findall(r"# \+", the_block())) == 15


async def test_by_the_fifth_message_there_is_a_request_and_the_worker_is_told(
    dispatcher: Dispatcher,
    telegram: SandboxTelegram,
    sessions: Sessions,
    empty_database_url: str,
    redis_url: str,
) -> None:
    await asyncio.to_thread(migrations.upgrade, empty_database_url)

    await say_five_messages(dispatcher, telegram)

    (request,) = await conversations.requests_of(sessions)
    assert (request.state, request.persona, request.chat_id) == (State.QUEUED, "lina", CHAT.id)
    assert request.reply_to_message_id == request.message_count
    assert await words_of_the_bot(sessions) == 10
    async with Redis.from_url(redis_url, db=3) as redis:
        assert await redis.zrange(default_queue_name, 0, -1) == [str(request.id).encode()]


async def test_without_our_tables_the_chat_goes_on_as_before(
    dispatcher: Dispatcher, telegram: SandboxTelegram, sessions: Sessions
) -> None:
    await say_five_messages(dispatcher, telegram)

    assert await words_of_the_bot(sessions) == 10
    assert [message.text for message in telegram.sent] == [
        f"You said: Message {number}" for number in range(1, 6)
    ]
