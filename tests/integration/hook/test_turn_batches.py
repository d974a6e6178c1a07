"""Turns that come at the same time are counted together, and none is held up by another's dialog."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import func, select, text

from chatflow_hook import ChatFlowHook
from chatflow_hook.tables import Dialog
from tests.support import conversations, database_activity
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S

TURNS = 100


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    """A hook whose pictures are due at the fifth message."""
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=5, image_trigger_max=5
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


@pytest.fixture
def queries() -> Iterator[list[LoggedQuery]]:
    with database_activity.noted_queries() as queries:
        yield queries


async def say(hook: ChatFlowHook, count: int = TURNS) -> None:
    await asyncio.gather(*(hook.on_turn(turn(number)) for number in range(1, count + 1)))


async def messages(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.sum(Dialog.message_count))) or 0


async def test_a_hundred_turns_at_once_take_a_few_statements(
    queries: list[LoggedQuery], hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook)
    await asyncio.sleep(0)
    queries.clear()

    await say(hook)
    await asyncio.sleep(0)

    assert await messages(sessions) == 2 * TURNS
    assert len(queries) <= TURNS / 5


async def test_those_of_a_hook_that_has_asked_nothing_yet_are_all_counted(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook)

    assert await messages(sessions) == TURNS


async def test_a_held_dialog_holds_up_no_turn_of_another_one(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 5)
    async with sessions.begin() as session:
        await session.execute(text("SELECT id FROM dialogs WHERE id = 3 FOR UPDATE"))

        await say(hook, 5)
        in_the_meantime = await messages(sessions)

    assert in_the_meantime == 9


async def test_a_turn_that_cannot_be_written_takes_no_other_with_it(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 3)

    await asyncio.gather(
        hook.on_turn(turn(1)),
        hook.on_turn(turn(2, reply_to_message_id=2**70)),
        hook.on_turn(turn(3)),
    )

    assert await messages(sessions) == 5


async def test_the_same_turn_twice_at_once_without_an_id_is_two_messages(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    said = turn(1)

    await asyncio.gather(hook.on_turn(said), hook.on_turn(said))

    assert await messages(sessions) == 2
