"""One hook serves event loops that come and go, as in tests, Flask and tasks with asyncio.run."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from chatflow_hook import ChatFlowHook, Request
from imagegen.db.engine import connect
from tests.support import conversations, schema_dump
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S


@pytest.fixture
def hook(database_url: str, redis_url: str) -> ChatFlowHook:
    """A hook of a module: made without a loop, and never closed."""
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=1, image_trigger_max=1
    )
    return ChatFlowHook(settings, turn_timeout_s=PATIENCE_S)


async def say_in_a_session(hook: ChatFlowHook, database_url: str, dialog_id: int) -> Request | None:
    """Do what a handler does, with an engine of its own loop."""
    engine = connect(database_url)
    async with conversations.sessions_of(engine).begin() as session:
        request = await hook.on_turn(turn(dialog_id), session)
    await hook.enqueue(request)
    await engine.dispose()
    return request


async def connections(database_url: str) -> int:
    """Count the connections to the test's database, without the one that counts."""
    async with schema_dump.connected(database_url) as connection:
        return int(
            await connection.fetchval(
                "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
            )
        )


async def in_a_thread(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run each in a loop of its own, one after the other, in another thread."""
    return await asyncio.to_thread(lambda: [asyncio.run(each) for each in coroutines])


async def test_a_loop_after_another_is_served_also_after_a_commit(
    hook: ChatFlowHook, database_url: str
) -> None:
    requests = await in_a_thread(
        *(say_in_a_session(hook, database_url, number) for number in range(3))
    )

    assert None not in requests


async def test_the_connections_of_a_loop_are_closed_when_it_ends(
    hook: ChatFlowHook, database_url: str
) -> None:
    async def use() -> tuple[Request | None, int]:
        request = await hook.on_turn(turn())
        assert request is not None
        await hook.wait(request, timeout=0.1)
        return request, await connections(database_url)

    ((_, while_it_ran),) = await in_a_thread(use())

    assert while_it_ran > 0
    async with asyncio.timeout(PATIENCE_S):
        while await connections(database_url):  # noqa: ASYNC110 (the server sees it a little later)
            await asyncio.sleep(0.02)


async def test_loops_of_several_threads_at_once(hook: ChatFlowHook) -> None:
    together = threading.Barrier(3, timeout=PATIENCE_S)

    async def use(number: int) -> Request | None:
        await hook.on_turn(turn(number))
        await asyncio.to_thread(together.wait)
        return await hook.on_turn(turn(10 + number))

    requests = await asyncio.gather(*(in_a_thread(use(number)) for number in range(3)))

    assert [None] not in requests


async def test_a_loop_that_was_closed_by_hand_is_no_hindrance(hook: ChatFlowHook) -> None:
    def close_without_an_end() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(hook.on_turn(turn(1)))
        loop.run_until_complete(hook.close())
        loop.run_until_complete(hook.on_turn(turn(2)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    await asyncio.to_thread(close_without_an_end)

    (request,) = await in_a_thread(hook.on_turn(turn(3)))
    assert request is not None
