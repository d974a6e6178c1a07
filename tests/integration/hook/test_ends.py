"""on_end on real servers: each end is told at least once, whatever was down when it came."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, RequestEnd
from chatflow_hook.ends import AT_A_TIME, EndTimes
from chatflow_hook.queue import ended_channel
from chatflow_hook.tables import NOBODY, OPEN, EndListening, ImageRequest, State
from chatflow_hook.waiting import RARE_INTERVAL_S
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.database_proxy import DatabaseProxy
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory

QUICK = EndTimes(poll_s=0.02, callback_s=5, lease_s=0.2)
# Redis alone, or the lease alone, would have to be the one that helps.
NEVER_S = 600.0
SETTINGS_PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
ENDS = tuple(state for state in State if state not in OPEN)

Hooks = Callable[..., ChatFlowHook]


@pytest.fixture
async def hooks(database_url: str, redis_url: str) -> AsyncIterator[Hooks]:
    """Return what makes hooks, one for each process that a bot would have."""
    made: list[ChatFlowHook] = []

    def make(times: EndTimes = QUICK, redis_url: str = redis_url) -> ChatFlowHook:
        settings = conversations.hook_settings(database_url, redis_url)
        made.append(ChatFlowHook(settings, turn_timeout_s=PATIENCE_S, end_times=times))
        return made[-1]

    yield make
    for hook in made:
        await hook.close()


class Told:
    """A callback that keeps what it is told, and fails as often as a test says."""

    def __init__(self, failures: int = 0, error: BaseException | None = None) -> None:
        self.ends: list[RequestEnd] = []
        self._failures = failures
        self._error = error or ValueError("the words of a person")
        self._has_come = asyncio.Event()

    async def __call__(self, end: RequestEnd) -> None:
        self.ends.append(end)
        self._has_come.set()
        if len(self.ends) <= self._failures:
            raise self._error

    async def until(self, number: int) -> list[RequestEnd]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.ends) < number:
                self._has_come.clear()
                await self._has_come.wait()
        return self.ends


@asynccontextmanager
async def listening(
    hook: ChatFlowHook, callback: Callable[[RequestEnd], Awaitable[None]]
) -> AsyncIterator[None]:
    task = asyncio.create_task(hook.on_end(callback))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), "it runs until it is cancelled, and raises nothing"


@pytest.fixture
async def rows(engine: AsyncEngine, tmp_path: Path, hooks: Hooks) -> AgedData:
    """Return a database of a bot that has listened before."""
    rows = AgedData(engine, tmp_path / "images")
    async with hooks() as hook, listening(hook, Told()):
        await until_listening(rows)
    return rows


async def rows_of(rows: AgedData, column: Any, *where: Any) -> list[Any]:
    async with rows.sessions() as session:
        return list((await session.execute(select(column).where(*where))).scalars())


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)


async def until_told(rows: AgedData, *request_ids: UUID) -> None:
    untold = ImageRequest.told_end.is_distinct_from(ImageRequest.finished_at)

    async def are_all_told() -> bool:
        return not await rows_of(rows, ImageRequest.id, ImageRequest.id.in_(request_ids), untold)

    await until(are_all_told)


async def until_listening(rows: AgedData) -> None:
    await until(lambda: rows_of(rows, EndListening.id))


async def test_each_kind_of_end_is_told_once_with_what_is_known_of_it(
    rows: AgedData, hooks: Hooks
) -> None:
    hook, told = hooks(), Told()
    ended = {await rows.row(state, error_code="a_code", language="ru") for state in ENDS}
    await rows.row(State.DRAWN)
    await rows.row(State.DELIVERED, user_id=NOBODY)

    async with listening(hook, told):
        ends = await told.until(len(ended))
        await until_told(rows, *ended)

    assert {end.request.id for end in ends} == ended
    assert len(ends) == len(ended)
    assert {end.picture.state for end in ends} == {*ENDS}
    for end in ends:
        assert end.picture == await hook.status(end.request)
        assert (end.kind, end.user_id, end.chat_id) == ("automatic", 1001, 1001)


async def test_what_ended_while_the_bot_was_down_is_told_when_it_is_back(
    rows: AgedData, hooks: Hooks
) -> None:
    async with rows.sessions.begin() as session:
        await session.execute(update(EndListening).values(since=text("now() - interval '1 day'")))
    an_hour_ago = await rows.row(State.DELIVERED, days=1 / 24)
    told = Told()

    async with listening(hooks(), told):
        (end,) = await told.until(1)

    assert end.request.id == an_hour_ago


async def test_the_first_call_for_a_database_begins_with_the_ends_from_then_on(
    engine: AsyncEngine, tmp_path: Path, hooks: Hooks
) -> None:
    rows, told = AgedData(engine, tmp_path / "images"), Told()
    await rows.row(State.DELIVERED)

    async with listening(hooks(), told):
        await until_listening(rows)
        new = await rows.row(State.FAILED)
        (end,) = await told.until(1)

    assert end.request.id == new


async def test_redis_wakes_the_bot_at_once_with_the_documented_rights(
    rows: AgedData, hooks: Hooks, redis_url: str
) -> None:
    told, wakened = Told(), EndTimes(poll_s=NEVER_S)
    async with (
        Redis.from_url(redis_url, db=4) as redis,
        user_with_documented_rights(redis, redis_url) as url,
        listening(hooks(wakened, redis_url=url), told),
    ):
        await until(redis.pubsub_numpat)
        request_id = await rows.row(State.DELIVERED)
        await redis.publish(ended_channel(request_id), "ended")

        async with asyncio.timeout(RARE_INTERVAL_S / 2):
            assert [end.request.id for end in await told.until(1)] == [request_id]


async def test_all_that_a_process_listens_to_is_one_subscription(
    rows: AgedData, hooks: Hooks, redis_url: str
) -> None:
    hook, told = hooks(), Told()
    request_id = await rows.row(State.QUEUED)

    async with Redis.from_url(redis_url, db=4) as redis, listening(hook, told):
        waiting = asyncio.create_task(hook.wait(request_id, timeout=PATIENCE_S))
        await until(redis.pubsub_numpat)
        (line,) = [line for line in await redis.client_list() if int(line["psub"])]
        await hook.cancel(request_id)

        assert (await waiting).state is State.CANCELLED
        assert [end.picture.state for end in await told.until(1)] == [State.CANCELLED]
        assert int(line["sub"]) == 0


@asynccontextmanager
async def user_with_documented_rights(redis: Redis, url: str) -> AsyncIterator[str]:
    """Give the address as a user with the rights that docs/settings.md lists."""
    documented = re.search(r"ACL SETUSER chatflow (.+)", SETTINGS_PAGE.read_text())
    assert documented is not None
    await redis.execute_command("ACL", "SETUSER", "ends", *documented[1].split())  # type: ignore[no-untyped-call]
    try:
        parts = urlsplit(url)
        yield parts._replace(netloc=f"ends:s3cret@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        await redis.execute_command("ACL", "DELUSER", "ends")  # type: ignore[no-untyped-call]


async def test_an_end_whose_callback_failed_is_told_again_and_the_log_quotes_nothing(
    rows: AgedData, hooks: Hooks
) -> None:
    told = Told(failures=2)
    request_id = await rows.row(State.DELIVERED)

    with capture_logs() as log:
        async with listening(hooks(), told):
            await told.until(3)
            await until_told(rows, request_id)

    assert [end.request.id for end in told.ends] == [request_id] * 3
    failed = [line for line in log if line["event"] == "end not taken"]
    assert [line["error"] for line in failed] == ["ValueError"] * 2
    assert "test_ends.py:" in failed[0]["place"]
    assert "words of a person" not in str(log)


async def test_a_callback_that_raises_a_cancellation_of_its_own_is_called_again(
    rows: AgedData, hooks: Hooks
) -> None:
    told = Told(failures=1, error=asyncio.CancelledError())
    request_id = await rows.row(State.DELIVERED)

    with capture_logs() as log:
        async with listening(hooks(), told):
            await told.until(2)
            await until_told(rows, request_id)

    failed = [line for line in log if line["event"] == "end not taken"]
    assert [line["error"] for line in failed] == ["CancelledError"]


async def test_an_end_is_told_while_the_callback_of_another_one_still_runs(
    rows: AgedData, hooks: Hooks
) -> None:
    slow = await rows.row(State.DELIVERED)
    begun, told = asyncio.Event(), Told()

    async def callback(end: RequestEnd) -> None:
        if end.request.id == slow:
            begun.set()
            await asyncio.Event().wait()
        await told(end)

    patient = EndTimes(poll_s=0.02, callback_s=NEVER_S, lease_s=2 * NEVER_S)
    async with listening(hooks(patient), callback):
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        quick = await rows.row(State.DELIVERED)

        assert [end.request.id for end in await told.until(1)] == [quick]


async def test_at_most_ten_ends_are_told_at_the_same_time(rows: AgedData, hooks: Hooks) -> None:
    ended = [await rows.row(State.DELIVERED) for _ in range(AT_A_TIME + 2)]
    may_end, running, most = asyncio.Event(), 0, 0

    async def callback(_: RequestEnd) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == AT_A_TIME:
            may_end.set()
        await may_end.wait()
        running -= 1

    async with listening(hooks(EndTimes(poll_s=0.02)), callback):
        await until_told(rows, *ended)

    assert most == AT_A_TIME == 10


async def test_an_end_whose_process_died_over_it_is_told_to_another(
    rows: AgedData, hooks: Hooks
) -> None:
    request_id = await rows.row(State.DELIVERED)
    begun, told = asyncio.Event(), Told()

    async def hang(_: RequestEnd) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with listening(hooks(), hang):
        await asyncio.wait_for(begun.wait(), PATIENCE_S)

    async with listening(hooks(), told):
        assert [end.request.id for end in await told.until(1)] == [request_id]


async def test_a_callback_that_takes_too_long_is_given_up(rows: AgedData, hooks: Hooks) -> None:
    await rows.row(State.DELIVERED)
    called_again = asyncio.Event()
    calls: list[RequestEnd] = []

    async def hang(end: RequestEnd) -> None:
        calls.append(end)
        if len(calls) > 1:
            called_again.set()
        await asyncio.Event().wait()

    with capture_logs() as log:
        async with listening(hooks(EndTimes(poll_s=0.02, callback_s=0.05, lease_s=0.1)), hang):
            await asyncio.wait_for(called_again.wait(), PATIENCE_S)

    assert "TimeoutError" in [line.get("error") for line in log]


async def test_processes_share_the_ends(rows: AgedData, hooks: Hooks) -> None:
    ended = [await rows.row(State.DELIVERED) for _ in range(40)]
    both = (Told(), Told())
    times = EndTimes(poll_s=0.02)

    async with listening(hooks(times), both[0]), listening(hooks(times), both[1]):
        await until_told(rows, *ended)

    told = [end.request.id for told in both for end in told.ends]
    assert sorted(told) == sorted(ended)


async def test_a_request_that_is_retried_and_ends_again_is_told_again(
    rows: AgedData, hooks: Hooks
) -> None:
    told = Told()
    request_id = await rows.row(State.FAILED)

    async with listening(hooks(), told):
        await until_told(rows, request_id)
        async with rows.sessions.begin() as session:
            await session.execute(
                update(ImageRequest).values(
                    state=State.DELIVERED, finished_at=text("clock_timestamp()")
                )
            )
        ends = await told.until(2)

    assert [end.picture.state for end in ends] == ["failed", "delivered"]


async def test_ends_are_told_when_the_database_is_back(rows: AgedData, hooks: Hooks) -> None:
    told = Told()
    request_id = await rows.row(State.DELIVERED)
    await execute(rows, "ALTER TABLE end_listening RENAME TO away")

    with capture_logs() as log:

        async def is_logged() -> bool:
            return "ends are told later" in [line["event"] for line in log]

        async with listening(hooks(), told):
            await until(is_logged)
            await execute(rows, "ALTER TABLE away RENAME TO end_listening")
            assert [end.request.id for end in await told.until(1)] == [request_id]

    assert [line["event"] for line in log].count("ends are told later") == 1


async def test_ends_that_cannot_be_marked_are_logged_once_and_told_again(
    rows: AgedData, hooks: Hooks
) -> None:
    ended = [await rows.row(State.DELIVERED) for _ in range(3)]
    told, is_away = Told(), asyncio.Event()

    async def callback(end: RequestEnd) -> None:
        await told(end)
        if len(told.ends) == len(ended):
            await execute(rows, "ALTER TABLE image_requests RENAME TO away")
            is_away.set()
        await is_away.wait()

    with capture_logs() as log:

        async def is_logged() -> bool:
            return "end will be told again" in [line["event"] for line in log]

        async with listening(hooks(), callback):
            await until(is_logged)
            await execute(rows, "ALTER TABLE away RENAME TO image_requests")
            await until_told(rows, *ended)

    assert len(told.ends) > len(ended)
    assert [line["event"] for line in log].count("end will be told again") == 1


async def test_ends_are_told_without_redis_which_is_listened_to_once_it_is_back(
    rows: AgedData, hooks: Hooks, redis_url: str
) -> None:
    told, port = Told(), free_port()
    parts = urlsplit(redis_url)
    secret, _, address = parts.netloc.rpartition("@")
    host, _, target = address.partition(":")
    through_port = parts._replace(netloc=f"{secret}@127.0.0.1:{port}").geturl()
    request_id = await rows.row(State.DELIVERED)

    async with (
        Redis.from_url(redis_url, db=4) as redis,
        listening(hooks(redis_url=through_port), told),
    ):
        assert [end.request.id for end in await told.until(1)] == [request_id]
        assert await redis.pubsub_numpat() == 0
        proxy = DatabaseProxy(host, int(target))
        server = await asyncio.start_server(proxy._connected, "127.0.0.1", port)
        try:
            await until(redis.pubsub_numpat)
        finally:
            server.close()


async def execute(rows: AgedData, statement: str) -> None:
    async with rows.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_a_picture_that_was_sent_is_told_with_its_message_and_what_it_shows(
    products: ProductFactory,
) -> None:
    told = Told()
    async with products.start() as product, listening(product.hook, told):
        await product.hook.has_confirmed_age(1)
        asked = await product.ask(text="Let's walk in the park")
        (end,) = await told.until(1)

    (photo,) = product.telegram.sent
    assert end.request == asked
    assert end.picture.state == "delivered"
    assert end.picture.telegram_message_id == photo.message_id
    assert end.picture.summary is not None
    assert end.picture.summary.startswith("Lina: ")
    assert "park" in end.picture.summary
