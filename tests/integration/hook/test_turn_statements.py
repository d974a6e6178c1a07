"""What a turn asks of PostgreSQL: two statements where no picture is due, on asyncpg itself."""

import asyncio

from asyncpg.connection import LoggedQuery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from chatflow_hook import ChatFlowHook
from tests.support import conversations, database_activity
from tests.support.conversations import Sessions, turn


async def test_a_turn_without_a_picture_takes_two_statements_and_no_transaction(
    queries: list[LoggedQuery], hook: ChatFlowHook, sessions: Sessions
) -> None:
    # The first turn also reads whose tables these are.
    await hook.on_turn(turn())
    await asyncio.sleep(0)
    queries.clear()

    await hook.on_turn(turn())
    await asyncio.sleep(0)

    assert [logged.query.split()[0] for logged in queries] == ["SELECT", "WITH"]
    assert (await conversations.dialog(sessions)).message_count == 2


async def test_the_first_message_of_a_dialog_takes_two_statements(
    queries: list[LoggedQuery], hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn(1))
    await asyncio.sleep(0)
    queries.clear()

    await hook.on_turn(turn(2))
    await asyncio.sleep(0)

    assert [logged.query.split()[0] for logged in queries] == ["SELECT", "INSERT"]
    assert (await conversations.dialog(sessions, 2)).message_count == 1


async def test_in_the_bots_session_the_statement_that_counts_is_the_last_and_restores_its_limits(
    queries: list[LoggedQuery], hook: ChatFlowHook, engine: AsyncEngine
) -> None:
    await hook.on_turn(turn())
    await engine.dispose()  # so that its connections are opened while queries are noted
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("SELECT 1"))
        await asyncio.sleep(0)
        queries.clear()

        await hook.on_turn(turn(), session)
        await asyncio.sleep(0)

        # RELEASE is not among them, since SQLAlchemy prepares it.
        assert queries[-1].query.startswith("UPDATE dialogs")
        limits = await session.execute(
            text("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        )
        assert tuple(limits.one()) == ("0", "0")


async def test_messages_of_one_dialog_at_the_same_moment_are_counted_each(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn())

    requests = await asyncio.gather(
        *(hook.on_turn(turn(reply_to_message_id=number)) for number in range(8))
    )

    assert (await conversations.dialog(sessions)).message_count == 9
    assert len([request for request in requests if request is not None]) == 1


async def test_a_turn_waits_for_another_of_its_dialog_and_counts_after_it(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn())
    async with sessions.begin() as first, sessions.begin() as second:
        await hook.on_turn(turn(), first)
        waiting = asyncio.create_task(hook.on_turn(turn(), second))
        await database_activity.somebody_waits(sessions)
        await first.commit()
        await waiting

    assert (await conversations.dialog(sessions)).message_count == 3


async def test_a_held_dialog_costs_a_turn_of_its_own_half_a_second_at_most(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn())
    async with sessions.begin() as session:
        await session.execute(text("SELECT id FROM dialogs FOR UPDATE"))

        assert await hook.on_turn(turn()) is None

    await hook.on_turn(turn())
    assert (await conversations.dialog(sessions)).message_count == 2
