"""The hook behind a real PgBouncer: it works if it is told of it, and says so if it is not."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.pgbouncer import PROGRAM, PgBouncer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

_DIALOGS = 30


@pytest.fixture
def pgbouncer(database_url: str) -> Iterator[PgBouncer]:
    with PgBouncer(database_url) as server:
        yield server


async def talk(url: str, redis_url: str) -> None:
    """Say one thing in each of some dialogs at once, on more connections than PgBouncer has."""
    settings = conversations.hook_settings(url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        await asyncio.gather(*(hook.on_turn(turn(number)) for number in range(_DIALOGS)))


async def say_until_a_picture_is_due(hook: ChatFlowHook, *, dialog_id: int) -> None:
    for _ in range(3):
        await hook.on_turn(turn(dialog_id))


@pytest.mark.parametrize("option", ["pgbouncer=true", "pool_mode=transaction"])
async def test_with_the_option_no_turn_is_lost(
    pgbouncer: PgBouncer, redis_url: str, sessions: Sessions, option: str
) -> None:
    with capture_logs() as log:
        await talk(f"{pgbouncer.url}?{option}", redis_url)

    assert log == []
    for number in range(_DIALOGS):
        assert (await conversations.dialog(sessions, number)).message_count == 1


async def test_without_the_option_the_log_names_the_pooler_and_the_option(
    pgbouncer: PgBouncer, redis_url: str
) -> None:
    settings = conversations.hook_settings(pgbouncer.url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        await say_until_a_picture_is_due(hook, dialog_id=1)
        # The connection on which the hook's statements are prepared is another client's now.
        other = await asyncpg.connect(pgbouncer.url, statement_cache_size=0)
        await other.execute("BEGIN")
        with capture_logs() as log:
            await say_until_a_picture_is_due(hook, dialog_id=2)
        await other.close()
    reasons = [line["why"] for line in log if "why" in line]

    assert {reason.partition(":")[0] for reason in reasons} == {
        "a pooler such as PgBouncer in transaction mode mixes up prepared statements"
    }
    assert all("write pgbouncer=true into DATABASE_URL" in reason for reason in reasons)


async def test_an_option_that_pgbouncer_refuses_is_named(
    pgbouncer: PgBouncer, redis_url: str
) -> None:
    with capture_logs() as log:
        await talk(f"{pgbouncer.url}?pgbouncer=true&options=-csearch_path%3Dpublic", redis_url)

    assert {line["why"].partition(":")[0] for line in log} == {
        "a pooler such as PgBouncer refuses an option of DATABASE_URL"
    }
