"""Connections that are taken from the pool are of use, and are not pinged each time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.database import DATABASE_ERRORS, keep_usable
from chatflow_hook.database_url import parse
from chatflow_hook.failures import cause_of
from tests.support import broken_databases, conversations, schema_dump
from tests.support.conversations import Sessions, turn
from tests.support.database_proxy import proxy_to
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import Clock
from tests.support.stopwatch import Stopwatch


@pytest.fixture
def clock() -> Clock:
    return Clock(now=100.0)


_LATE_S = 0.5


@pytest.fixture
async def engine(database_url: str, clock: Clock) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, whose idle time is measured by a clock that the test moves."""
    address = parse(database_url)
    bare = create_async_engine(address.url, connect_args=address.connect_args, pool_size=1)
    made = keep_usable(bare, clock=clock)
    yield made
    await made.dispose()


async def test_a_connection_that_the_server_has_ended_is_replaced(
    engine: AsyncEngine, database_url: str
) -> None:
    first = await _pid(engine)
    ended = await _socket_closed(engine)
    await schema_dump.execute(database_url, f"SELECT pg_terminate_backend({first})")
    await asyncio.wait_for(ended.wait(), 5)

    second = await _pid(engine)

    assert second != first


@pytest.mark.parametrize(
    ("rest_s", "sentences"), [(0.0, ["the database is away"]), (6.0, [])], ids=["used", "rested"]
)
async def test_one_with_a_goodbye_but_no_end_yet_is_replaced_after_one_fault_at_most(
    database_url: str, clock: Clock, rest_s: float, sentences: list[str]
) -> None:
    async with _delaying_proxy(database_url) as (url, server_closed):
        address = parse(url)
        bare = create_async_engine(address.url, connect_args=address.connect_args, pool_size=1)
        engine = keep_usable(bare, clock=clock)
        first = await _pid(engine)
        await schema_dump.execute(database_url, f"SELECT pg_terminate_backend({first})")
        await asyncio.wait_for(server_closed.wait(), 5)

        clock.now += rest_s
        faults = [cause_of(error).sentence for error in await _database_errors(engine)]
        second = await _pid(engine)

        assert second != first
        assert faults == sentences
        await engine.dispose()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", [1, None]),
        ("bigint", [2**40]),
        ("uuid", [UUID(int=7)]),
        ("varchar", ["ä,{}"]),
        ("text", []),
    ],
)
async def test_arrays_are_read_and_written_without_a_question_of_their_type(
    engine: AsyncEngine, kind: str, values: list[object]
) -> None:
    queries = await _logged_queries(engine)

    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        read = await raw.fetchval(f"SELECT CAST($1 AS {kind}[])", values)
        await asyncio.sleep(0)  # the queries are told of at the next turn of the event loop

    assert read == values
    assert [query for query in queries if "typeinfo" in query] == []


async def test_one_that_was_just_used_is_not_asked(engine: AsyncEngine, clock: Clock) -> None:
    queries = await _logged_queries(engine)

    clock.now += 4.0
    await _pid(engine)

    assert ";" not in queries


async def test_one_that_has_rested_is_asked_first(engine: AsyncEngine, clock: Clock) -> None:
    queries = await _logged_queries(engine)

    clock.now += 6.0
    await _pid(engine)

    assert ";" in queries


async def test_a_hook_counts_again_after_a_failover(
    database_url: str, redis_url: str, sessions: Sessions
) -> None:
    settings = conversations.hook_settings(database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        await broken_databases.make_read_only(database_url, is_read_only=True)
        with capture_logs() as log:
            await asyncio.gather(*(hook.on_turn(turn()) for _ in range(5)))
        await broken_databases.make_read_only(database_url, is_read_only=False)

        requests = [await hook.on_turn(turn()) for _ in range(4)]

    assert log[0]["sqlstate"] == "25006"
    assert log[0]["condition"] == "read_only_sql_transaction"
    assert "takes no writes" in log[0]["why"]
    assert [request is not None for request in requests[-2:]].count(True) == 1
    assert (await conversations.dialog(sessions)).message_count >= 3, "one turn is lost at most"


async def test_a_silent_database_does_not_hold_the_hook_up(
    database_url: str, redis_url: str
) -> None:
    async with proxy_to(database_url) as (proxy, url):
        hook = ChatFlowHook(conversations.hook_settings(url, redis_url))
        request = None
        while request is None:
            request = await hook.on_turn(turn())
        proxy.silence()

        watch = Stopwatch()
        with pytest.raises(TimeoutError):
            await hook.wait(request, timeout=0.2)
        waited_s = watch.seconds
        await hook.close()
        closed_s = watch.seconds - waited_s

    assert waited_s < 1.9, "0.9 s for the last look, and one second for a busy machine"
    assert closed_s < 1.0


async def test_connections_that_are_all_in_use_do_not_hold_a_wait_up(
    database_url: str, redis_url: str, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions)
    async with ChatFlowHook(conversations.hook_settings(database_url, redis_url)) as hook:
        request = await hook.ask(turn())
        assert isinstance(request, Request)
        async with sessions.begin() as holder:
            await holder.execute(text("SELECT 1 FROM dialogs FOR UPDATE"))
            asks = [asyncio.create_task(hook.ask(turn())) for _ in range(10)]
            await _connections_wait_for_a_lock(sessions, 10)

            watch = Stopwatch()
            with pytest.raises(TimeoutError):
                await hook.wait(request, timeout=0)
            waited_s = watch.seconds
        await asyncio.gather(*asks)

    assert waited_s < 1.9


async def _connections_wait_for_a_lock(sessions: Sessions, count: int) -> None:
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while True:
        async with sessions() as session:
            if (await session.execute(query)).scalar_one() >= count:
                return
        await asyncio.sleep(0.05)


async def _pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        pid: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    return pid


async def _database_errors(engine: AsyncEngine) -> list[Exception]:
    """Use a connection, and return the errors that the hook counts as errors of the database."""
    try:
        await _pid(engine)
    except DATABASE_ERRORS as error:
        return [error]
    return []


async def _socket_closed(engine: AsyncEngine) -> asyncio.Event:
    """Return an event that is set when the connection's socket is closed."""
    ended = asyncio.Event()
    (await _raw(engine)).add_termination_listener(lambda _: ended.set())
    return ended


@asynccontextmanager
async def _delaying_proxy(database_url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Run a TCP proxy to PostgreSQL that passes a close of the server on with a delay.

    The event is set when the server has closed the connection.
    """
    url = make_url(database_url)
    server_closed = asyncio.Event()
    open_ends: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(url.host, url.port)
        open_ends.extend((writer, forth))
        there = asyncio.create_task(carry(reader, forth))
        with suppress(ConnectionError):
            await carry(back, writer)
        server_closed.set()
        await asyncio.sleep(_LATE_S)
        writer.close()
        await there

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield (
            url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False),
            server_closed,
        )
        for writer in open_ends:
            writer.transport.abort()


async def _raw(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return (await connection.get_raw_connection()).driver_connection


async def _logged_queries(engine: AsyncEngine) -> list[str]:
    """Return a list to which each query of the connection is added from now on."""
    queries: list[str] = []
    (await _raw(engine)).add_query_logger(lambda record: queries.append(record.query))
    return queries
