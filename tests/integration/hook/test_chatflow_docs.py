"""docs/examples/chatflow_pictures.py, in a bot that had its pictures from a Celery service."""

import asyncio
import runpy
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import JSON, BigInteger, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chatflow_hook import Picture, Request, RequestEnd
from chatflow_hook.tables import ImageRequest, State
from imagegen.db import migrations
from imagegen.db.engine import connect
from tests.support import conversations, schema_dump
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "chatflow_pictures.py"
SCHEMA = (ROOT / "tests" / "support" / "celery_service.sql").read_text("utf-8")
# What that schema has no need for elsewhere.
MORE = """
    ALTER TABLE messages ADD COLUMN extra_data json;
    CREATE TABLE image_balances (user_id bigint PRIMARY KEY, remaining integer NOT NULL);
    INSERT INTO image_balances VALUES (1001, 1);
"""


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 (as SQLAlchemy has it)


class Message(Base):
    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    dialog_id: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    extra_data: Mapped[dict[str, Any] | None]


class Dialog(Base):
    __tablename__ = "dialogs"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_count: Mapped[int]


class ImageBalance(Base):
    __tablename__ = "image_balances"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    remaining: Mapped[int]


@dataclass(frozen=True, kw_only=True)
class User:
    id: int = 1001
    language_code: str | None = "en"


@dataclass(frozen=True, kw_only=True)
class Persona:
    key: str = "mei"


@dataclass(frozen=True, kw_only=True)
class Quota:
    can_generate: bool


async def get_images_remaining(db: AsyncSession, user_id: int) -> Quota:
    return Quota(can_generate=(await db.get_one(ImageBalance, user_id)).remaining > 0)


async def use_image_quota(db: AsyncSession, user_id: int) -> None:
    (await db.get_one(ImageBalance, user_id)).remaining -= 1


@pytest.fixture
async def sessions(empty_database_url: str) -> AsyncIterator[Sessions]:
    await schema_dump.execute(empty_database_url, SCHEMA)
    await schema_dump.execute(empty_database_url, MORE)
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    engine = connect(empty_database_url)
    yield conversations.sessions_of(engine)
    await engine.dispose()


@pytest.fixture
async def example(
    sessions: Sessions,
    empty_database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[dict[str, Any]]:
    """Return what the example defines, in a bot with the names that it imports."""
    monkeypatch.chdir(tmp_path)  # where there is no .env
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    database = ModuleType("shared.database")
    names = (ImageBalance, Message, get_images_remaining, use_image_quota)
    vars(database).update({each.__name__: each for each in names}, AsyncSessionLocal=sessions)
    utils = ModuleType("shared.utils")
    bots_own = {"shared": ModuleType("shared"), database.__name__: database, utils.__name__: utils}
    sys.modules |= bots_own
    async with Redis.from_url(redis_url) as redis:
        vars(utils).update(redis_client=redis)
        yield runpy.run_path(str(EXAMPLE))
    for name in bots_own:
        del sys.modules[name]


async def talk_until(sessions: Sessions, example: dict[str, Any], state: State) -> None:
    """Store turns as the bot does until there is a request in this state."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_any(sessions, state):
            async with sessions() as db:
                dialog = await db.get_one(Dialog, 1, with_for_update=True)
                history = [
                    Message(role="user", content="Hello"),
                    Message(role="system", content="[]"),
                ]
                dialog.message_count = (dialog.message_count or 0) + 2
                was_unpaid = await example["commit_with_picture"](
                    db,
                    dialog,
                    User(),
                    Persona(),
                    text="Let's walk",
                    reply="Gladly",
                    history=history,
                    is_refresh=False,
                )
            assert was_unpaid == await is_any(sessions, State.CANCELLED)


async def is_any(sessions: Sessions, state: State) -> bool:
    """Tell whether there is a request in this state."""
    async with sessions() as session:
        query = select(ImageRequest.id).where(ImageRequest.state == state).limit(1)
        return await session.scalar(query) is not None


async def value(sessions: Sessions, query: str) -> Any:
    async with sessions() as session:
        return await session.scalar(text(query))


async def until(sessions: Sessions, query: str, expected: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await value(sessions, query) == expected:
                return
            await asyncio.sleep(0.01)


DELIVER = """
    UPDATE image_requests
    SET state = 'delivered', finished_at = clock_timestamp(), scene = '{"summary": "Mei: park"}'
    WHERE state = 'queued'
"""
TELL_AGAIN = "UPDATE image_requests SET told_end = NULL WHERE state = 'delivered'"
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
UNTOLD = "SELECT count(*) FROM image_requests WHERE told_end IS NULL"


async def test_a_delivered_picture_is_paid_once_and_one_without_quota_is_not_drawn(
    example: dict[str, Any], sessions: Sessions, empty_database_url: str
) -> None:
    async with example["told_of_ends"]():
        await until(sessions, "SELECT count(*) FROM end_listening", 1)
        await talk_until(sessions, example, State.QUEUED)
        await schema_dump.execute(empty_database_url, DELIVER)
        await until(sessions, UNTOLD, 0)
        await schema_dump.execute(empty_database_url, TELL_AGAIN)  # as after a crash
        await until(sessions, UNTOLD, 0)
        await talk_until(sessions, example, State.CANCELLED)

    notes = "SELECT string_agg(content, ',') FROM messages WHERE role = 'system'"
    assert await value(sessions, notes) == "[photo sent: Mei: park]"
    assert await value(sessions, "SELECT remaining FROM image_balances") == 0


def delivered(request_id: uuid.UUID, kind: str = "automatic") -> RequestEnd:
    picture = Picture(
        state=State.DELIVERED,
        error_code=None,
        message=None,
        url="https://bot.example/pictures/1.png",
        width=8,
        height=8,
        seed=1,
        telegram_message_id=7,
        summary="Mei: park",
    )
    request = Request(id=request_id, dialog_id=1, message_count=4)
    return RequestEnd(
        request=request,
        kind=kind,
        user_id=1001,
        chat_id=1001,
        persona="mei",
        picture=picture,
    )


async def test_an_end_that_two_processes_are_told_in_the_same_moment_is_paid_once(
    example: dict[str, Any], sessions: Sessions, empty_database_url: str, redis_url: str
) -> None:
    await schema_dump.execute(empty_database_url, "UPDATE image_balances SET remaining = 5")
    end = delivered(uuid.uuid4())
    async with Redis.from_url(redis_url) as redis:
        await redis.set("user:1001:no_quota_since", "8")

    async with sessions.begin() as session:  # holds both until both have begun
        await session.get(ImageBalance, 1001, with_for_update=True)
        both = [asyncio.create_task(example["on_end"](end)) for _ in range(2)]
        await until(sessions, WAITING, 2)
    await asyncio.gather(*both)

    assert await value(sessions, "SELECT remaining FROM image_balances") == 4
    notes = "SELECT string_agg(extra_data ->> 'image_url', ',') FROM messages WHERE role = 'system'"
    assert await value(sessions, notes) == "https://bot.example/pictures/1.png"
    async with Redis.from_url(redis_url) as redis:
        assert await redis.exists("user:1001:no_quota_since") == 0


@pytest.mark.parametrize("kind", ["cover", "file"])
async def test_what_was_not_drawn_for_the_user_costs_nothing_and_is_not_noted(
    example: dict[str, Any], sessions: Sessions, kind: str
) -> None:
    await example["on_end"](delivered(uuid.uuid4(), kind))

    assert await value(sessions, "SELECT remaining FROM image_balances") == 1
    assert await value(sessions, "SELECT count(*) FROM messages WHERE role = 'system'") == 0


async def test_a_reply_that_is_written_anew_brings_no_picture(
    example: dict[str, Any], sessions: Sessions
) -> None:
    for count in range(2, 14, 2):
        async with sessions() as db:
            dialog = await db.get_one(Dialog, 1, with_for_update=True)
            dialog.message_count = count
            await example["commit_with_picture"](
                db,
                dialog,
                User(),
                Persona(),
                text="Let's walk",
                reply="Gladly",
                history=[],
                is_refresh=True,
            )

    assert await value(sessions, "SELECT count(*) FROM image_requests") == 0
