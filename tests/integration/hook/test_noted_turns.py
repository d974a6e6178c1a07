"""Which turns the hook notes for the worker to read, what such a note holds, and when it is erased."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chatflow_hook import ChatFlowHook, Message
from chatflow_hook.tables import UnreadTurn
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S

ANN = 1001
EARLIER = (Message(role="user", text="hello"), Message(role="persona", text="How old are you?"))


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


async def noted(sessions: Sessions) -> list[UnreadTurn]:
    async with sessions() as session:
        found = await session.execute(select(UnreadTurn).order_by(UnreadTurn.noted_at))
        return list(found.scalars())


async def test_a_turn_that_speaks_of_an_age_is_noted_though_no_picture_is_due(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    assert await hook.on_turn(turn(text="hello")) is None
    assert await hook.on_turn(turn(text="мне 15", reply="Ясно.", prompt="a kitchen")) is None

    (note,) = await noted(sessions)
    assert (note.dialog_id, note.user_id, note.message_count) == (1, ANN, 2)
    assert note.conversation == {"text": "мне 15", "reply": "Ясно.", "history": []}


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "no", "history": EARLIER},
        {"text": "hello", "reply": "You are 15."},
        {"text": "hello", "reply": "I am in the ninth grade.", "is_refresh": True},
    ],
)
async def test_the_answer_and_the_newest_of_the_history_are_looked_at_too(
    hook: ChatFlowHook, sessions: Sessions, fields: dict[str, Any]
) -> None:
    await hook.on_turn(turn(**fields))

    assert len(await noted(sessions)) == 1


async def test_a_short_answer_without_history_is_noted_after_a_turn_that_was(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn(text="hello", reply="Are you 18?"))
    await hook.on_turn(turn(text="not really"))
    await hook.on_turn(turn(dialog_id=2, text="not really"))

    assert [note.dialog_id for note in await noted(sessions)] == [1, 1]


async def test_the_same_message_is_noted_once_and_a_refreshed_plain_one_never(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for _ in range(2):
        await hook.on_turn(turn(text="мне 15", reply_to_message_id=7))
    await hook.on_turn(turn(text="hello", is_refresh=True))

    assert len(await noted(sessions)) == 1


async def test_of_a_group_the_history_is_not_noted_since_others_wrote_it(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn(text="I am 30", chat_id=-100, history=EARLIER))

    (note,) = await noted(sessions)
    assert note.conversation["history"] == []


async def test_a_note_is_written_in_the_bots_own_transaction_and_never_to_redis(
    hook: ChatFlowHook, sessions: Sessions, redis_url: str
) -> None:
    async with sessions() as session:
        await hook.on_turn(turn(text="мне 15"), session)
        assert await _count(session) == 1
        await session.rollback()

    assert await noted(sessions) == []
    for db in (3, 4):
        async with Redis.from_url(redis_url, db=db) as redis:
            assert await redis.dbsize() == 0


async def test_a_forgotten_user_has_no_notes_and_waits_a_day_since_nobody_read_them(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn(text="мне 15"))

    await hook.forget_user(ANN)

    assert await noted(sessions) == []
    assert not await hook.confirm_age(ANN)
    assert not await hook.may_ask_age(ANN)


async def test_a_forgotten_user_who_said_nothing_of_it_may_confirm_at_once(
    hook: ChatFlowHook,
) -> None:
    await hook.on_turn(turn(text="hello"))
    await hook.forget_user(ANN)

    assert await hook.may_ask_age(ANN)
    assert await hook.confirm_age(ANN)
    assert not await hook.may_ask_age(ANN)


async def _count(session: AsyncSession) -> int:
    return len((await session.execute(select(UnreadTurn.id))).all())
