"""Turns that come at the same time are counted together, and none is held up by another's dialog."""

import asyncio

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import func, select, text

from chatflow_hook import ChatFlowHook
from chatflow_hook.tables import Dialog
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.database_proxy import proxy_to
from tests.support.patience import PATIENCE_S

TURNS = 100


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


async def test_turns_that_were_counted_before_another_one_was_refused_count_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 3)
    async with sessions() as session:
        # Somebody adds the same dialog for longer than a batch waits.
        await session.execute(text("INSERT INTO dialogs (id) VALUES (9)"))
        turns = [asyncio.create_task(hook.on_turn(turn(dialog_id))) for dialog_id in (1, 2, 3, 9)]
        await asyncio.wait(turns[:3], timeout=PATIENCE_S)
        await session.rollback()
    await asyncio.gather(*turns)

    assert await messages(sessions) == 7


async def test_a_turn_whose_time_is_nearly_over_takes_no_other_with_it(
    database_url: str, redis_url: str, sessions: Sessions
) -> None:
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=50, image_trigger_max=50
    )
    async with (
        ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as patient,
        ChatFlowHook(settings, turn_timeout_s=2.0) as hook,
    ):
        await say(patient, 6)
        async with sessions() as session:
            await session.execute(text("LOCK TABLE dialogs IN ACCESS EXCLUSIVE MODE"))
            # As many batches as run at once, and one turn that waits for them.
            old = []
            for dialog_id in range(1, 6):
                old.append(asyncio.create_task(hook.on_turn(turn(dialog_id))))
                await asyncio.sleep(0.01)
            await asyncio.sleep(1.6)
            young = asyncio.create_task(hook.on_turn(turn(6)))
            await asyncio.wait(old, timeout=PATIENCE_S)
        await young

    async with sessions() as other:
        counted = await other.scalar(select(Dialog.message_count).where(Dialog.id == 6))
    assert counted == 2


@pytest.mark.parametrize("message_id", [None, 7], ids=["without an id", "with an id"])
async def test_a_turn_whose_count_got_no_answer_counts_once(
    database_url: str, redis_url: str, sessions: Sessions, message_id: int | None
) -> None:
    async with proxy_to(database_url) as (proxy, url):
        settings = conversations.hook_settings(
            url, redis_url, image_trigger_min=5, image_trigger_max=5
        )
        async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
            await hook.on_turn(turn(1, reply_to_message_id=5))
            await hook.on_turn(turn(1, reply_to_message_id=6))

            # What is read is answered, and what is written is not.
            proxy.lose_answer(after=1)
            await hook.on_turn(turn(1, reply_to_message_id=message_id))

    assert await messages(sessions) == 3
