"""Who waits for a picture costs the database little, and hears of its end in every trouble of Redis."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from sqlalchemy import event
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, Request, queue
from chatflow_hook.queue import QueueClient
from chatflow_hook.settings import RedisPlace
from chatflow_hook.tables import State
from chatflow_hook.waiting import EndListener
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S

# Longer than redis-py gives a connection to close.
_BUSY_S = 0.6


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A Redis of these tests alone, which they stop."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def hook(database_url: str, valkey: ValkeyServer) -> AsyncIterator[ChatFlowHook]:
    valkey.start()
    settings = conversations.hook_settings(
        database_url, valkey.url, image_trigger_min=1, image_trigger_max=1
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


async def requested(hook: ChatFlowHook, dialog_id: int = 1) -> Request:
    request = await hook.on_turn(turn(dialog_id))
    assert request is not None
    return request


async def end(sessions: Sessions, valkey: ValkeyServer, *requests: Request) -> None:
    """End requests as the worker does: first the row, then the message."""
    for request in requests:
        await conversations.end(sessions, request, State.DELIVERED)
    async with Redis.from_url(valkey.url, db=4) as redis:
        for request in requests:
            await redis.publish(queue.ended_channel(request.id), "ended")


async def subscribed(valkey: ValkeyServer) -> None:
    """Return when a hook listens."""
    async with Redis.from_url(valkey.url, db=4) as redis:
        while not await redis.pubsub_numpat():  # noqa: ASYNC110 (what the server knows)
            await asyncio.sleep(0.01)


def count_statements(hook: ChatFlowHook) -> list[str]:
    """Return a list to which each statement of the hook is added from now on."""
    statements: list[str] = []
    engine = hook._connections.current.database._engine.sync_engine

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    return statements


async def test_two_hundred_who_wait_share_one_subscription_and_a_few_queries(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    requests = [await requested(hook, number) for number in range(4)]
    statements = count_statements(hook)
    waiting = [
        asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
        for request in requests
        for _ in range(50)
    ]
    await subscribed(valkey)
    await asyncio.sleep(1.5)  # longer than between two looks without Redis
    async with Redis.from_url(valkey.url, db=4) as redis:
        assert await redis.pubsub_numpat() == 1

    await end(sessions, valkey, *requests)

    assert {picture.state for picture in await asyncio.gather(*waiting)} == {State.DELIVERED}
    # At the beginning, once the subscription stands, and at most once for each message.
    assert len(statements) <= 2 + len(requests)


async def test_a_request_that_has_ended_needs_no_subscription(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    request = await requested(hook)
    await conversations.end(sessions, request, State.DELIVERED)

    assert (await hook.wait(request, timeout=PATIENCE_S)).state is State.DELIVERED

    async with Redis.from_url(valkey.url, db=4) as redis:
        assert await redis.pubsub_numpat() == 0


async def test_without_redis_it_looks_at_the_row_each_second(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    request = await requested(hook)
    valkey.stop()
    waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))

    with capture_logs() as log:
        await asyncio.sleep(0.3)
        await conversations.end(sessions, request, State.DELIVERED)
        began = time.monotonic()
        picture = await waiting

    assert picture.state is State.DELIVERED
    assert time.monotonic() - began < PATIENCE_S / 2
    (line,) = [line for line in log if line["event"] == "no word from redis"]
    assert "refuses the connection" in line["why"]


async def test_an_end_in_a_restart_of_redis_is_not_missed(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    request = await requested(hook)
    waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
    await subscribed(valkey)
    valkey.stop()
    await conversations.end(sessions, request, State.DELIVERED)
    valkey.start()

    began = time.monotonic()
    assert (await waiting).state is State.DELIVERED
    assert time.monotonic() - began < PATIENCE_S / 2


async def test_a_redis_that_falls_silent_is_noticed(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    hook._connections.current.ends._ping_after_s = 0.1
    request = await requested(hook)
    waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
    await subscribed(valkey)
    valkey.freeze()
    try:
        await conversations.end(sessions, request, State.DELIVERED)

        assert (await waiting).state is State.DELIVERED
    finally:
        valkey.thaw()


async def test_a_user_of_redis_with_the_documented_rights_may_listen(
    database_url: str, valkey: ValkeyServer, sessions: Sessions
) -> None:
    valkey.start()
    page = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
    (rule,) = re.findall(r"^    (ACL SETUSER chatflow .*)$", page, re.MULTILINE)
    async with Redis.from_url(valkey.url) as redis:
        await redis.execute_command(*rule.split())
    url = f"redis://chatflow:s3cret@{valkey.url.rpartition('@')[2]}"
    settings = conversations.hook_settings(
        database_url, url, image_trigger_min=1, image_trigger_max=1
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        request = await requested(hook)
        waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
        await subscribed(valkey)
        await end(sessions, valkey, request)

        assert (await waiting).state is State.DELIVERED


async def test_the_subscription_ends_when_nobody_waits_any_more(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    hook._connections.current.ends._ping_after_s = 0.1
    request = await requested(hook)
    waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
    await subscribed(valkey)
    await end(sessions, valkey, request)
    await waiting

    async with asyncio.timeout(PATIENCE_S), Redis.from_url(valkey.url, db=4) as redis:
        while await redis.pubsub_numpat():  # noqa: ASYNC110 (what the server knows)
            await asyncio.sleep(0.01)


async def test_a_wait_that_is_cancelled_leaves_the_others_waiting(
    hook: ChatFlowHook, sessions: Sessions, valkey: ValkeyServer
) -> None:
    request = await requested(hook)
    first, second = (asyncio.create_task(hook.wait(request, timeout=PATIENCE_S)) for _ in range(2))
    await subscribed(valkey)
    first.cancel()
    await asyncio.wait({first})

    await end(sessions, valkey, request)

    assert first.cancelled()
    assert (await second).state is State.DELIVERED


async def test_a_busy_event_loop_is_no_error_when_the_subscription_ends(redis_url: str) -> None:
    client = QueueClient(RedisPlace(arguments=dict(parse_url(redis_url))), broker_db=3, result_db=4)
    ends = EndListener(client)
    with ends.told(uuid.uuid4()) as told:
        await ends.wait(told, within_s=PATIENCE_S)  # until the subscription stands
        closing = asyncio.create_task(ends.close())
        await asyncio.sleep(0)
        time.sleep(_BUSY_S)  # noqa: ASYNC251 (the loop is to be held up)
        await closing
    await client.close()


async def test_what_workers_tell_each_other_makes_nobody_look(redis_url: str) -> None:
    client = QueueClient(RedisPlace(arguments=dict(parse_url(redis_url))), broker_db=3, result_db=4)
    ends = EndListener(client)
    with ends.told(None) as told:
        ends._tell({"type": "pmessage", "channel": b"imagegen:slot-free:a worker"})
        told_of_a_slot = told.is_set()
        ends._tell({"type": "pmessage", "channel": queue.ended_channel(uuid.uuid4()).encode()})

        assert (told_of_a_slot, told.is_set()) == (False, True)
    await client.close()
