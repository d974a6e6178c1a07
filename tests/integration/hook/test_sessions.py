"""A turn is recorded in the bot's own transaction, whatever kind of session and driver that has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=1, image_trigger_max=1
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


@pytest.fixture(params=["asyncpg", "psycopg"])
async def bots_engine(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[AsyncEngine]:
    url = make_url(database_url).set(drivername=f"postgresql+{request.param}")
    engine = create_async_engine(url)
    yield engine
    await engine.dispose()


async def test_a_session_of_any_driver(
    hook: ChatFlowHook, bots_engine: AsyncEngine, sessions: Sessions
) -> None:
    async with AsyncSession(bots_engine) as session, session.begin():
        request = await hook.on_turn(turn(reply_to_message_id=7), session)
        again = await hook.on_turn(turn(reply_to_message_id=7), session)

    assert request is not None
    assert again == request
    assert (await conversations.row(sessions, request.id)).user_id == 1001


async def test_a_connection_without_a_session(
    hook: ChatFlowHook, bots_engine: AsyncEngine, sessions: Sessions
) -> None:
    async with bots_engine.connect() as connection:
        await hook.on_turn(turn(), connection)
        await connection.rollback()
        request = await hook.on_turn(turn(), connection)
        await connection.commit()

    assert [row.id for row in await conversations.requests_of(sessions)] == [request and request.id]
    assert (await conversations.dialog(sessions)).message_count == 1


async def test_a_scoped_session(
    hook: ChatFlowHook, bots_engine: AsyncEngine, sessions: Sessions
) -> None:
    scoped = async_scoped_session(async_sessionmaker(bots_engine), asyncio.current_task)

    await hook.on_turn(turn(), scoped)
    await scoped.commit()
    await scoped.remove()

    assert (await conversations.dialog(sessions)).message_count == 1


async def test_the_quota_works_on_the_connection_of_any_driver(
    database_url: str, redis_url: str, bots_engine: AsyncEngine
) -> None:
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=1, image_trigger_max=1, images_per_user_per_day=1
    )
    async with (
        ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook,
        AsyncSession(bots_engine) as session,
    ):
        first = await hook.on_turn(turn(1, user_id=5), session)
        second = await hook.on_turn(turn(2, user_id=5), session)

    assert first is not None
    assert second is None


async def test_a_failure_leaves_the_transaction_of_any_driver_usable_and_is_named(
    hook: ChatFlowHook, bots_engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        await session.execute(text("DROP TABLE image_requests CASCADE"))
    with capture_logs() as log:
        async with AsyncSession(bots_engine) as session:
            assert await hook.on_turn(turn(), session) is None

            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1

    assert log[0]["condition"] == "undefined_table"
    assert "run `imagegen migrate`" in log[0]["why"]


@pytest.mark.parametrize("session", [Session(), object()], ids=["synchronous", "something else"])
async def test_anything_else_is_misuse(hook: ChatFlowHook, session: Any) -> None:
    with pytest.raises(TypeError, match=r"chatflow_hook\.sync has the hook for synchronous"):
        await hook.on_turn(turn(), session)
