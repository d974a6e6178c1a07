"""With a slow database the hook gives up pictures, and never takes longer than its time limit."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook
from chatflow_hook.statement_deadline import DeadlineConnection
from chatflow_hook.tables import Dialog
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.stopwatch import Stopwatch

# "Not delayed by more than a second", with a little for a busy machine on top.
A_SECOND = 1.3

SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON dialogs
  FOR EACH ROW EXECUTE FUNCTION dawdle();
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON image_requests
  FOR EACH ROW EXECUTE FUNCTION dawdle()
"""


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    """A hook that is due at each message, so that each message has all statements."""
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=1, image_trigger_max=1
    )
    async with ChatFlowHook(settings) as hook:
        yield hook


@pytest.fixture
async def slow(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        for statement in SLOW.split(";\nCREATE TRIGGER"):
            prefix = "" if "FUNCTION dawdle() RETURNS" in statement else "CREATE TRIGGER"
            await session.execute(text(prefix + statement))


async def limits(session: AsyncSession) -> list[str]:
    return [
        (await session.execute(text(f"SHOW {name}"))).scalar_one()
        for name in ("lock_timeout", "statement_timeout")
    ]


@pytest.mark.usefixtures("slow")
async def test_statements_that_are_slow_each_share_one_budget(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        watch = Stopwatch()

        request = await hook.on_turn(turn(), session)

        assert watch.seconds < A_SECOND
        assert request is None
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1


@pytest.mark.usefixtures("slow")
async def test_after_a_turn_that_was_too_slow_the_bots_limits_are_as_before(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        await session.execute(text("SET LOCAL lock_timeout = '7s'"))
        await session.execute(text("SET LOCAL statement_timeout = '9s'"))

        assert await hook.on_turn(turn(), session) is None

        assert await limits(session) == ["7s", "9s"]


@pytest.mark.usefixtures("slow")
async def test_without_a_session_the_budget_is_the_same(hook: ChatFlowHook) -> None:
    watch = Stopwatch()

    assert await hook.on_turn(turn()) is None

    assert watch.seconds < A_SECOND


async def test_each_statement_is_given_what_is_left(sessions: Sessions) -> None:
    now = 0.0
    async with sessions.begin() as session:
        connection = await session.connection()
        limited = DeadlineConnection(connection, deadline=0.8, clock=lambda: now)
        given = []

        for now in (0.0, 0.01, 0.3, 0.6):  # noqa: B007 (the clock reads it)
            await limited.execute(text("SELECT 1"))
            given.append((await limits(session))[1])

    assert given == ["800ms", "800ms", "500ms", "200ms"]


async def test_with_nothing_left_nothing_is_begun(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        limited = DeadlineConnection(await session.connection(), deadline=0.8, clock=lambda: 0.75)

        with pytest.raises(TimeoutError):
            await limited.execute(text("CREATE TABLE begun ()"))

        found = await session.execute(text("SELECT to_regclass('begun')"))
        assert found.scalar_one() is None


@pytest.mark.usefixtures("slow")
async def test_a_burst_is_over_within_the_budget_and_its_loss_is_told(
    sessions: Sessions, database_url: str, redis_url: str
) -> None:
    with capture_logs() as log:
        async with ChatFlowHook(conversations.hook_settings(database_url, redis_url)) as hook:
            watch = Stopwatch()

            await asyncio.gather(*(hook.on_turn(turn(number)) for number in range(40)))

            assert watch.seconds < A_SECOND

    told = [line for line in log if line["event"] == "turn not recorded"]
    rest = [line for line in log if line["event"] == "turns not recorded"]
    assert len(told) == len({line["why"] for line in told}), "each cause once"
    async with sessions() as session:
        recorded = await session.scalar(select(func.count()).select_from(Dialog))
    assert len(told) + sum(line["count"] for line in rest) == 40 - (recorded or 0)
    assert told
