"""When arq's own worker asks for jobs: at once when it is told, and also when nobody tells it.

Where a test is about being told, a poll by the clock comes after an hour.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from arq import Retry
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from chatflow_hook.queue import QUEUE, QueueClient, add_enqueue, queued_channel
from chatflow_hook.settings import RedisPlace
from imagegen.queue import connections, job_lease
from imagegen.queue.job_queue import POLL_EVERY_S, JobQueue
from imagegen.queue.wake_listener import WakeListener
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import arq_worker
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

_HOUR_S = 3600.0


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A Redis of these tests alone, which they stop."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def place(valkey: ValkeyServer) -> AsyncIterator[RedisPlace]:
    valkey.start()
    place = RedisPlace(arguments=dict(parse_url(valkey.url)))
    async with Redis.from_url(valkey.url, db=3) as redis:
        await redis.flushdb()
        yield place


class Jobs:
    """The jobs that a worker has started; each lasts until `may_end` is set."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.started: asyncio.Queue[UUID] = asyncio.Queue()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def run(self, ctx: dict[Any, Any], *_: Any) -> None:
        self.started.put_nowait(UUID(ctx["job_id"]))
        await self.may_end.wait()

    async def next_started(self) -> UUID:
        async with asyncio.timeout(PATIENCE_S):
            return await self.started.get()


@asynccontextmanager
async def worker(
    place: RedisPlace, *, poll_every_s: float, is_listening: bool = True
) -> AsyncIterator[Jobs]:
    """Run arq's worker, which has polled in vain when the block begins."""
    queue = connections.job_queue(place, db=3, poll_every_s=poll_every_s)
    jobs = Jobs(queue)
    async with arq_worker.polling(queue, jobs.run):
        if not is_listening:
            yield jobs
            return
        async with WakeListener(queue, place, db=3, ping_after_s=0.2).listening():
            await told(queue)
            yield jobs


async def told(queue: JobQueue, *, is_told: bool = True) -> None:
    """Return when the queue is told of jobs, or is not any more."""
    async with asyncio.timeout(PATIENCE_S):
        while queue.is_told is not is_told:  # noqa: ASYNC110 (the queue gives no event)
            await asyncio.sleep(0.01)


async def enqueue_silently(queue: JobQueue, *, in_ms: int = 0) -> UUID:
    """Enqueue a job as a hook does that tells nobody."""
    request_id = uuid.uuid4()
    async with queue.pipeline() as pipe:
        add_enqueue(pipe, request_id, due_ms=await queue.now_ms() + in_ms)
        await pipe.execute()
    return request_id


async def ring(place: RedisPlace) -> UUID:
    """Enqueue a job as the hook does."""
    client, request_id = QueueClient(place, broker_db=3, result_db=4), uuid.uuid4()
    assert await client.enqueue(request_id, within_s=PATIENCE_S)
    await client.close()
    return request_id


async def test_a_job_of_the_hook_wakes_the_worker(place: RedisPlace) -> None:
    async with worker(place, poll_every_s=_HOUR_S) as jobs:
        assert await ring(place) == await jobs.next_started()


async def test_it_wakes_each_of_two_workers(place: RedisPlace) -> None:
    async with (
        worker(place, poll_every_s=_HOUR_S) as one,
        worker(place, poll_every_s=_HOUR_S) as other,
    ):
        one.queue.limit_running(lambda: 0, lambda: 0)

        assert await ring(place) == await other.next_started()


async def test_a_job_behind_locked_ones_is_started_though_there_is_room_for_one_only(
    place: RedisPlace,
) -> None:
    async with worker(place, poll_every_s=POLL_EVERY_S) as jobs:
        jobs.queue.limit_running(lambda: 0, lambda: 0)
        await polled(jobs.queue)
        locked = [await enqueue_silently(jobs.queue, in_ms=-1000) for _ in range(3)]
        for request_id in locked:
            await jobs.queue.set(f"arq:in-progress:{request_id}", b"1")
        behind = await enqueue_silently(jobs.queue)

        jobs.queue.limit_running(lambda: 0, lambda: 1)

        assert await jobs.next_started() == behind


async def test_a_job_that_is_due_later_is_started_when_it_is_due(place: RedisPlace) -> None:
    async with worker(place, poll_every_s=_HOUR_S) as jobs:
        later = await enqueue_silently(jobs.queue, in_ms=300)
        await ring(place)
        await jobs.next_started()

        assert await jobs.next_started() == later


async def test_a_job_of_which_nobody_tells_is_found_by_the_poll(place: RedisPlace) -> None:
    async with worker(place, poll_every_s=POLL_EVERY_S) as jobs:
        assert await enqueue_silently(jobs.queue) == await jobs.next_started()


async def test_without_a_listener_the_worker_polls_often(place: RedisPlace) -> None:
    async with worker(place, poll_every_s=_HOUR_S, is_listening=False) as jobs:
        assert await enqueue_silently(jobs.queue) == await jobs.next_started()


async def test_a_job_that_ends_wakes_the_worker_if_another_waits_for_its_place(
    place: RedisPlace,
) -> None:
    async with worker(place, poll_every_s=_HOUR_S) as jobs:
        running: list[UUID] = []
        jobs.queue.limit_running(lambda: len(running), lambda: 1)
        jobs.may_end.clear()
        await ring(place)
        running.append(await jobs.next_started())
        second = await ring(place)
        await polled(jobs.queue)

        running.clear()
        jobs.may_end.set()

        assert await jobs.next_started() == second


async def test_a_worker_that_waits_is_woken_also_after_an_outage(
    place: RedisPlace, valkey: ValkeyServer
) -> None:
    async with worker(place, poll_every_s=_HOUR_S) as jobs:
        valkey.stop()
        await told(jobs.queue, is_told=False)
        valkey.start()
        await told(jobs.queue)

        assert await ring(place) == await jobs.next_started()


async def test_a_server_that_is_silent_is_noticed(place: RedisPlace, valkey: ValkeyServer) -> None:
    async with worker(place, poll_every_s=_HOUR_S) as jobs:
        valkey.freeze()
        try:
            await told(jobs.queue, is_told=False)
        finally:
            valkey.thaw()


async def test_an_idle_worker_asks_at_the_interval_of_its_poll_at_most(place: RedisPlace) -> None:
    async with worker(place, poll_every_s=POLL_EVERY_S) as jobs:
        await polled(jobs.queue)
        before = await polls(jobs.queue)
        await asyncio.sleep(2 * POLL_EVERY_S)

        assert await polls(jobs.queue) - before <= 2 + 1


async def test_the_product_s_worker_listens(products: ProductFactory, redis_url: str) -> None:
    async with products.start() as product, Redis.from_url(redis_url) as redis:
        await product.picture()

        channel = queued_channel(product.settings.redis_broker_db)
        async with asyncio.timeout(PATIENCE_S):
            while not dict(await redis.pubsub_numsub(channel))[channel.encode()]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_user_of_redis_who_may_tell_nobody_can_enqueue(
    place: RedisPlace, valkey: ValkeyServer
) -> None:
    async with Redis.from_url(valkey.url, db=3) as admin:
        await admin.execute_command(
            "ACL", "SETUSER", "bot", "on", ">s", "~arq:*", "resetchannels", "+@all"
        )
        bot = RedisPlace(arguments={**place.arguments, "username": "bot", "password": "s"})

        request_id = await ring(bot)

        assert await admin.zrange(QUEUE, 0, -1) == [str(request_id).encode()]


async def polls(queue: JobQueue) -> int:
    stats: Any = await queue.info("commandstats")
    return int(stats.get("cmdstat_zrangebyscore", {}).get("calls", 0))


async def polled(queue: JobQueue) -> None:
    """Return when the worker has polled once more than it has by now."""
    before = await polls(queue)
    await queue.publish(queued_channel(3), "")
    async with asyncio.timeout(PATIENCE_S):
        while await polls(queue) == before:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.01)


async def test_a_job_that_asks_to_run_again_is_started_when_it_is_due(place: RedisPlace) -> None:
    queue = connections.job_queue(place, db=3, poll_every_s=_HOUR_S)
    tries: asyncio.Queue[int] = asyncio.Queue()

    async def run(ctx: dict[Any, Any], *_: Any) -> None:
        async with job_lease.held(queue, ctx["job_id"], score=ctx["score"], lease_s=_HOUR_S):
            tries.put_nowait(ctx["job_try"])
            if ctx["job_try"] == 1:
                raise Retry(defer=0.1)

    async with (
        arq_worker.polling(queue, run),
        WakeListener(queue, place, db=3).listening(),
        asyncio.timeout(PATIENCE_S),
    ):
        await told(queue)
        await ring(place)

        assert [await tries.get() for _ in range(2)] == [1, 2]
