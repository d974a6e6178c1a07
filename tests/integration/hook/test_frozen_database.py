"""A PostgreSQL that answers nothing holds nobody up beyond the time that the call promises.

It accepts connections and keeps them open, as one does that is stopped (SIGSTOP), or behind a
network that drops packets. What closes the connections then needs no time of the caller.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, DatabaseFault, Request
from chatflow_hook.database import Database
from chatflow_hook.database_url import parse
from chatflow_hook.tables import Dialog
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.database_proxy import DatabaseProxy, proxy_to
from tests.support.patience import PATIENCE_S
from tests.support.stopwatch import Stopwatch

# For a busy machine, on top of what is promised. The clean-up alone would take more.
_LEEWAY_S = 0.5


@pytest.fixture
async def proxied(database_url: str) -> AsyncIterator[tuple[DatabaseProxy, str]]:
    async with proxy_to(database_url) as both:
        yield both


async def requested(hook: ChatFlowHook) -> Request:
    """Return a request, so that the hook has a connection that was used just now."""
    request = await hook.ask(turn())
    assert isinstance(request, Request)
    return request


async def test_a_turn_in_its_own_transaction_ends_in_time(
    proxied: tuple[DatabaseProxy, str], redis_url: str
) -> None:
    proxy, url = proxied
    async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
        await requested(hook)
        proxy.silence()
        watch = Stopwatch()

        assert await hook.on_turn(turn()) is None

        assert watch.seconds < 0.9 + _LEEWAY_S


async def test_the_start_of_a_dialog_ends_in_time(
    proxied: tuple[DatabaseProxy, str], redis_url: str
) -> None:
    proxy, url = proxied
    async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
        await requested(hook)
        proxy.silence()
        watch = Stopwatch()

        assert await hook.on_dialog_start(turn()) is None

        assert watch.seconds < 0.9 + _LEEWAY_S


@pytest.mark.parametrize("seconds", [0.0, 1.2])
async def test_a_wait_ends_in_time(
    proxied: tuple[DatabaseProxy, str], redis_url: str, seconds: float
) -> None:
    proxy, url = proxied
    async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
        request = await requested(hook)
        proxy.silence()
        watch = Stopwatch()

        with pytest.raises(TimeoutError):
            await hook.wait(request, timeout=seconds)

        assert watch.seconds < max(seconds, 0.9) + _LEEWAY_S


async def test_a_cancelled_caller_goes_on_at_once(
    proxied: tuple[DatabaseProxy, str], redis_url: str
) -> None:
    proxy, url = proxied
    async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
        request = await requested(hook)
        proxy.silence()
        watch = Stopwatch()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await hook.cancel(request)

        assert watch.seconds < 0.2 + _LEEWAY_S


async def test_a_commit_that_is_not_answered_ends_in_time(
    proxied: tuple[DatabaseProxy, str],
) -> None:
    proxy, url = proxied
    database = Database(parse(url))
    is_committing = asyncio.Event()

    async def step(connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("SELECT 1")
        proxy.silence()
        is_committing.set()

    turn_of_a_bot = asyncio.create_task(database.run(step))
    await is_committing.wait()
    watch = Stopwatch()
    done, _ = await asyncio.wait({turn_of_a_bot}, timeout=0.2)
    turn_of_a_bot.cancel()
    await asyncio.wait({turn_of_a_bot})

    assert not done
    assert watch.seconds < 0.2 + _LEEWAY_S
    await database.close()


async def test_as_soon_as_it_answers_again_turns_are_recorded(
    proxied: tuple[DatabaseProxy, str], redis_url: str, sessions: Sessions
) -> None:
    proxy, url = proxied
    async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
        await requested(hook)
        proxy.silence()
        await asyncio.gather(*(hook.on_turn(turn(number)) for number in range(20)))
        proxy.resume()

        with capture_logs() as log:
            request = await hook.ask(turn(50))

        assert isinstance(request, Request)
        assert (await conversations.row(sessions, request.id)).dialog_id == 50
        assert [line for line in log if line["log_level"] == "error"] == []


async def test_connections_that_were_given_up_are_closed_while_it_is_still_silent(
    proxied: tuple[DatabaseProxy, str],
) -> None:
    proxy, url = proxied
    database = Database(parse(url), clean_up_s=0.05)
    await database.run(lambda _: asyncio.sleep(0))
    proxy.silence()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await database.run(lambda connection: connection.exec_driver_sql("SELECT 1"))

    async with asyncio.timeout(PATIENCE_S):
        while database._running:  # noqa: ASYNC110 (its last step)
            await asyncio.sleep(0.01)

    await database.close()


async def test_what_is_left_of_a_transaction_is_cancelled_on_the_server(
    database_url: str, sessions: Sessions
) -> None:
    database = Database(parse(database_url))
    await conversations.put_dialog(sessions)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await database.run(
                lambda connection: connection.exec_driver_sql(
                    "SELECT pg_sleep(60) FROM dialogs FOR UPDATE"
                )
            )

    async with sessions.begin() as session:  # waits for the lock of what was given up
        await session.execute(update(Dialog).values(message_count=3))
    await database.close()


async def test_turns_beyond_the_number_of_connections_are_told_the_cause_too(
    redis_url: str,
) -> None:
    url = "postgresql://u:p@127.0.0.1:1/nothing"
    async with ChatFlowHook(
        conversations.hook_settings(url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        with capture_logs() as log:
            await asyncio.gather(*(hook.on_turn(turn(number)) for number in range(30)))

        with pytest.raises(DatabaseFault, match="refuses the connection"):
            await hook.ask(turn())

    assert {line["why"].partition(":")[0] for line in log} == {"the database is away"}
