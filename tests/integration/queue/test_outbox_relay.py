"""The relay: what Redis has lost or holds wrongly is put right, and arq's own worker starts the job."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.queue import QUEUE
from chatflow_hook.settings import RedisPlace
from chatflow_hook.tables import ImageRequest, State
from imagegen.queue import connections
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.queue.job_queue import JobQueue
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.requests.repository import RequestRepository
from tests.support import conversations, quick_recovery
from tests.support.arq_worker import started_jobs
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

TIMES = RecoveryTimes()
MINUTE_MS = 60_000


async def age(sessions: Sessions, by: timedelta = timedelta(seconds=30)) -> None:
    """Set the last write of every request back."""
    async with sessions.begin() as session:
        await session.execute(update(ImageRequest).values(updated_at=ImageRequest.updated_at - by))


@pytest.mark.parametrize(
    "lost",
    ["*", "arq:queue", "arq:job:*"],
    ids=["everything", "the queue", "the payloads"],
)
async def test_requests_that_redis_has_lost_in_any_part_are_drawn(
    products: ProductFactory, sessions: Sessions, redis_url: str, lost: str
) -> None:
    async with products.start(works=False) as product, Redis.from_url(redis_url, db=3) as redis:
        requests = [await product.ask(dialog_id=number) for number in range(1, 5)]
        await redis.delete(*[key async for key in redis.scan_iter(match=lost)])
        await age(sessions)

        async with product.worker(recovery=quick_recovery.TIMES):
            pictures = [await product.hook.wait(each, timeout=PATIENCE_S) for each in requests]

    assert {picture.state for picture in pictures} == {State.DELIVERED}


async def test_a_request_that_a_bot_with_a_clock_ahead_has_enqueued_is_drawn_at_once(
    products: ProductFactory, redis_url: str
) -> None:
    async with products.start(works=False) as product, Redis.from_url(redis_url, db=3) as redis:
        request = await product.ask()
        # As a hook of an older version writes it, whose bot is ten minutes ahead.
        await redis.zincrby(QUEUE, 10 * MINUTE_MS, str(request.id))

        async with product.worker(recovery=quick_recovery.TIMES):
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED


@dataclass(frozen=True, kw_only=True)
class RelaySetup:
    """A relay, its queue, and open requests that are enqueued."""

    relay: OutboxRelay
    queue: JobQueue
    redis: RedisPlace
    requests: list[str]

    async def lose(self, *requests: str, payload: bool = False, entry: bool = False) -> None:
        for request_id in requests:
            if payload:
                await self.queue.delete(f"arq:job:{request_id}")
            if entry:
                await self.queue.zrem(QUEUE, request_id)

    async def set_due(self, request_id: str, *, ahead_ms: int) -> int:
        """Set the due time of a request, relative to the clock of Redis."""
        due_ms = await self.queue.now_ms() + ahead_ms
        await self.queue.zadd(QUEUE, {request_id: due_ms})
        return due_ms

    async def started(self) -> set[str]:
        """Return the requests that arq's own worker starts."""
        return await started_jobs(self.redis)


@pytest.fixture
async def setup(
    products: ProductFactory, engine: AsyncEngine, redis_url: str
) -> AsyncIterator[RelaySetup]:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    async with (
        products.start(works=False) as product,
        connections.job_queue(settings.redis, db=3) as queue,
    ):
        requests = [str((await product.ask(dialog_id=number)).id) for number in range(1, 5)]
        yield RelaySetup(
            relay=OutboxRelay(RequestRepository(engine), queue, TIMES, place=settings.redis),
            queue=queue,
            redis=settings.redis,
            requests=requests,
        )


async def test_a_young_request_is_left_to_its_own_bell(setup: RelaySetup) -> None:
    await setup.lose(*setup.requests, payload=True, entry=True)

    await setup.relay.step()

    assert await setup.started() == set()


@pytest.mark.parametrize("keys", [("payload", "entry"), ("payload",), ("entry",)])
async def test_whatever_redis_lost_of_a_job_is_put_back_once(
    setup: RelaySetup, sessions: Sessions, keys: tuple[str, ...]
) -> None:
    await age(sessions)
    await setup.lose(*setup.requests[:2], **dict.fromkeys(keys, True))

    await setup.relay.step()
    await setup.relay.step()

    assert await setup.queue.zcard(QUEUE) == len(setup.requests)
    assert await setup.started() == set(setup.requests)


async def test_what_is_put_back_comes_in_the_order_of_its_age_and_before_what_is_new(
    setup: RelaySetup, sessions: Sessions
) -> None:
    oldest, older, old, new = setup.requests
    async with sessions.begin() as session:
        for minutes, request_id in enumerate((old, older, oldest), start=1):
            await session.execute(
                update(ImageRequest)
                .where(ImageRequest.id == UUID(request_id))
                .values(queued_at=ImageRequest.queued_at - timedelta(minutes=minutes))
            )
    await age(sessions)
    await setup.lose(older, old, oldest, entry=True)

    await setup.relay.step()

    queued = [entry.decode() for entry in await setup.queue.zrange(QUEUE, 0, -1)]
    assert queued == [oldest, older, old, new]


async def test_a_request_that_was_claimed_and_lost_is_rung_for_as_well(
    setup: RelaySetup, sessions: Sessions, engine: AsyncEngine
) -> None:
    await RequestRepository(engine).claim(UUID(setup.requests[0]))
    await age(sessions)
    await setup.lose(setup.requests[0], payload=True, entry=True)

    await setup.relay.step()

    assert setup.requests[0] in await setup.started()


async def test_a_request_written_by_a_postgresql_whose_clock_was_ahead_is_looked_after(
    setup: RelaySetup, sessions: Sessions
) -> None:
    await age(sessions, by=timedelta(minutes=-10))
    await setup.lose(*setup.requests, payload=True, entry=True)

    await setup.relay.step()

    assert await setup.started() == set(setup.requests)


async def test_a_job_that_lives_or_waits_its_time_is_left_alone(
    setup: RelaySetup, sessions: Sessions
) -> None:
    living, deferred, *others = setup.requests
    await age(sessions)
    await setup.lose(living, payload=True, entry=True)
    await setup.queue.set(f"arq:in-progress:{living}", b"1", px=4000)
    await setup.queue.set(f"arq:retry:{deferred}", 1)
    due_ms = await setup.set_due(deferred, ahead_ms=MINUTE_MS - 1000)

    await setup.relay.step()

    assert await setup.queue.zscore(QUEUE, deferred) == due_ms
    assert await setup.started() == set(others)


@pytest.mark.parametrize(
    ("ahead_ms", "was_tried"),
    [(30_000, False), (10 * MINUTE_MS, False), (10 * MINUTE_MS, True)],
)
async def test_a_job_further_in_the_future_than_any_of_ours_can_be_is_due_at_once(
    setup: RelaySetup, sessions: Sessions, ahead_ms: int, *, was_tried: bool
) -> None:
    await age(sessions)
    await setup.set_due(setup.requests[0], ahead_ms=ahead_ms)
    if was_tried:
        await setup.queue.set(f"arq:retry:{setup.requests[0]}", 1)

    await setup.relay.step()

    assert await setup.started() == set(setup.requests)


async def test_jobs_that_an_older_relay_has_put_back_with_the_score_0_are_started(
    setup: RelaySetup,
) -> None:
    await setup.queue.zadd(QUEUE, dict.fromkeys(setup.requests, 0))

    assert await setup.started() == set(setup.requests)


@pytest.mark.parametrize("seconds", [None, 3600])
async def test_a_lock_that_nobody_can_have_set_is_taken_off_and_its_job_put_back(
    setup: RelaySetup, sessions: Sessions, seconds: int | None
) -> None:
    """A lock without end, or one from before the clock of Redis was set back."""
    await age(sessions)
    await setup.queue.set(f"arq:in-progress:{setup.requests[0]}", b"1", ex=seconds)
    await setup.lose(setup.requests[0], payload=True, entry=True)

    await setup.relay.step()

    assert await setup.started() == set(setup.requests)


async def insert_requests(sessions: Sessions, count: int) -> list[str]:
    """Insert requests of as many dialogs, and return their ids."""
    made = [str(uuid4()) for _ in range(count)]
    async with sessions.begin() as session:
        await session.execute(
            insert(ImageRequest),
            [
                {
                    "id": UUID(each),
                    "kind": "automatic",
                    "dialog_id": 100 + number,
                    "user_id": 1,
                    "persona": "lina",
                    "message_count": 3,
                }
                for number, each in enumerate(made)
            ],
        )
    return made


async def commands(redis: JobQueue) -> int:
    """Return how many commands Redis has carried out."""
    return int((await redis.info("stats"))["total_commands_processed"])


@pytest.mark.parametrize("keys", [("payload", "entry"), ("entry",)])
async def test_a_thousand_lost_requests_are_put_back_in_one_step_and_block_nobody(
    setup: RelaySetup, sessions: Sessions, keys: tuple[str, ...]
) -> None:
    made = await insert_requests(sessions, 1200)
    await age(sessions)
    await setup.relay.step()
    await setup.lose(*made, **dict.fromkeys(keys, True))

    before = await commands(setup.queue)
    await setup.relay.step()
    asked = await commands(setup.queue) - before

    # Four questions each, and two commands to put it back: no more, however many there are.
    assert asked < 7 * len(made)
    assert await setup.started() == {*setup.requests, *made}


async def test_of_any_number_of_requests_all_come_back_in_one_step_after_redis_was_emptied(
    setup: RelaySetup, sessions: Sessions
) -> None:
    made = await insert_requests(sessions, 3100)
    await age(sessions)
    await setup.queue.flushdb()

    await setup.relay.step()

    assert await setup.queue.zcard(QUEUE) == len(made) + len(setup.requests)


async def test_what_redis_says_of_its_refusal_is_not_repeated(
    setup: RelaySetup, sessions: Sessions
) -> None:
    await age(sessions)
    await setup.queue.delete(QUEUE)
    await setup.queue.set(QUEUE, "no queue")

    with capture_logs() as log:
        await setup.relay.step()
    await setup.queue.delete(QUEUE)

    [line] = [line for line in log if line["event"] == "relay waits"]
    assert line["why"] == f"{setup.redis.address} failed: ResponseError"
