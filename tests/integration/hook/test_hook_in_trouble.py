"""Whatever fails with pictures, the bot's own message is stored and answered in time."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.tables import State
from imagegen.db.engine import connect
from imagegen.requests.repository import RequestRepository
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions, turn
from tests.support.stopwatch import Stopwatch

# "Not delayed by more than a second", with a little for a busy machine on top.
A_SECOND = 1.3


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(conversations.hook_settings(database_url, redis_url)) as hook:
        yield hook


async def bots_table(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE of_the_bot (words text)"))


async def say_and_commit(
    hook: ChatFlowHook, sessions: Sessions, *, dialog_id: int = 1
) -> tuple[Request | None, float]:
    """Do what a bot's handler does; return the hook's answer and the seconds it took."""
    async with sessions.begin() as session:
        await session.execute(text("INSERT INTO of_the_bot VALUES ('hello')"))
        watch = Stopwatch()
        request = await hook.on_turn(turn(dialog_id), session)
        took = watch.seconds
    return request, took


async def kept(sessions: Sessions) -> int:
    async with sessions() as session:
        return int((await session.execute(text("SELECT count(*) FROM of_the_bot"))).scalar_one())


async def test_without_our_tables_the_bots_message_is_committed(
    empty_database_url: str, redis_url: str
) -> None:
    engine = connect(empty_database_url)
    sessions = conversations.sessions_of(engine)
    await bots_table(sessions)

    with capture_logs() as log:
        async with ChatFlowHook(conversations.hook_settings(empty_database_url, redis_url)) as hook:
            request, took = await say_and_commit(hook, sessions)
            for _ in range(4):
                await say_and_commit(hook, sessions)

    assert (request, await kept(sessions)) == (None, 5)
    assert took < A_SECOND
    assert [(line["event"], line["log_level"]) for line in log] == [
        ("turn not recorded", "error"),
        ("turns not recorded", "warning"),
    ]
    assert log[0]["why"] == log[1]["why"] == "tables or columns are missing: run `imagegen migrate`"
    assert log[1]["count"] == 4
    await engine.dispose()


async def test_a_dialog_that_the_bots_table_does_not_have_is_no_fault_of_the_bot(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await bots_table(sessions)
    async with sessions.begin() as session:
        await session.execute(text("COMMENT ON TABLE dialogs IS NULL"))

    request, _ = await say_and_commit(hook, sessions, dialog_id=404)

    assert (request, await kept(sessions)) == (None, 1)


async def test_a_dialog_that_somebody_else_holds_delays_the_chat_by_less_than_a_second(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await bots_table(sessions)
    await hook.on_turn(turn())
    async with sessions.begin() as holder:
        await holder.execute(text("SELECT 1 FROM dialogs WHERE id = 1 FOR UPDATE"))

        request, took = await say_and_commit(hook, sessions)

    assert (request, await kept(sessions)) == (None, 1)
    assert took < A_SECOND


async def test_a_deadlock_costs_the_picture_and_not_the_message(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await bots_table(sessions)
    await hook.on_turn(turn())
    async with sessions() as other, sessions() as bot:
        await other.execute(text("SELECT 1 FROM dialogs WHERE id = 1 FOR UPDATE"))
        await bot.execute(text("INSERT INTO of_the_bot VALUES ('hello')"))
        await bot.execute(text("SELECT pg_advisory_xact_lock(1)"))
        waits = asyncio.create_task(other.execute(text("SELECT pg_advisory_xact_lock(1)")))

        request = await hook.on_turn(turn(), bot)
        await bot.commit()

        await waits
    assert (request, await kept(sessions)) == (None, 1)


async def test_a_transaction_that_the_bot_has_broken_stays_the_bots(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with sessions() as session:
        with pytest.raises(Exception, match="of_nobody"):
            await session.execute(text("SELECT * FROM of_nobody"))

        assert await hook.on_turn(turn(), session) is None


async def test_a_session_in_autocommit_is_told_what_to_do(
    hook: ChatFlowHook, engine: AsyncEngine
) -> None:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with capture_logs() as log:
        async with AsyncSession(autocommit) as session:
            assert await hook.on_turn(turn(), session) is None

    assert "call on_turn without the session" in log[0]["why"]


async def test_a_serializable_session_is_warned_of_once(
    hook: ChatFlowHook, engine: AsyncEngine
) -> None:
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    with capture_logs() as log:
        for _ in range(3):
            async with AsyncSession(serializable) as session, session.begin():
                request = await hook.on_turn(turn(), session)

    assert request is not None
    assert [line["event"] for line in log].count("session is serializable") == 1


async def test_without_a_database_the_hook_answers_none_in_time(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/db"
        async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
            watch = Stopwatch()

            assert await hook.on_turn(turn()) is None

            assert watch.seconds < A_SECOND


async def test_a_redis_that_is_down_delays_nobody(database_url: str, sessions: Sessions) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    settings = conversations.hook_settings(
        database_url, f"redis://127.0.0.1:{port}", image_trigger_min=1, image_trigger_max=1
    )
    async with ChatFlowHook(settings) as hook:
        watch = Stopwatch()

        request = await hook.on_turn(turn())

        assert request is not None
        assert watch.seconds < A_SECOND
        assert (await conversations.row(sessions, request.id)).state == State.QUEUED
        assert (await hook.wait(request, timeout=0.1)).state is State.QUEUED


async def test_a_frozen_redis_delays_nobody(database_url: str, sessions: Sessions) -> None:
    with ValkeyServer() as valkey:
        async with ChatFlowHook(conversations.hook_settings(database_url, valkey.url)) as hook:
            for _ in range(2):
                await hook.on_turn(turn())
            async with sessions.begin() as session:
                request = await hook.on_turn(turn(), session)
            valkey.freeze()
            watch = Stopwatch()

            await hook.enqueue(request)

            assert watch.seconds < A_SECOND
            assert request is not None
            assert (await conversations.row(sessions, request.id)).state == State.QUEUED
            valkey.thaw()


async def test_the_workers_finish_and_the_next_turns_never_deadlock(
    hook: ChatFlowHook, sessions: Sessions, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    request = await until_due(hook)

    for _ in range(15):
        claimed = await request_steps.drawn(requests, request.id)
        _, *answers = await asyncio.gather(
            requests.mark_delivered(claimed), *(hook.on_turn(turn()) for _ in range(3))
        )
        asked = [answer for answer in answers if answer is not None]
        request = asked[0] if asked else await until_due(hook)

    *finished, last = await conversations.requests_of(sessions)
    assert [row.state for row in finished] == [State.DELIVERED] * 15
    assert (await conversations.dialog(sessions)).last_image_generation_at == finished[
        -1
    ].message_count
    assert last.id == request.id


async def until_due(hook: ChatFlowHook) -> Request:
    while True:
        request = await hook.on_turn(turn())
        if request is not None:
            return request


async def test_on_turn_and_finish_in_one_transaction_each_wait_for_each_other(
    hook: ChatFlowHook, sessions: Sessions, engine: AsyncEngine
) -> None:
    request = await until_due(hook)
    requests = RequestRepository(engine)
    claimed = await request_steps.drawn(requests, request.id)
    bot: AsyncSession
    async with sessions.begin() as bot:
        await hook.on_turn(turn(), bot)  # holds the dialog until the bot commits
        finish = asyncio.create_task(requests.mark_delivered(claimed))

        await hook.on_turn(turn(), bot)

    await finish
    assert (await conversations.row(sessions, request.id)).state == State.DELIVERED


def test_importing_the_hook_loads_no_library_of_the_worker() -> None:
    program = (
        "import sys, chatflow_hook;"
        # What only some bots need is made at its first use.
        "assert not chatflow_hook.picture_intent._any_of.cache_info().currsize;"
        "found = {'aiogram', 'aiohttp', 'imagegen', 'alembic', 'PIL'} & set(sys.modules);"
        "sys.exit(f'loaded: {found}' if found else 0)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.stderr == ""
    assert ended.returncode == 0
