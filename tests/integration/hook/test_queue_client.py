"""What the hook enqueues is what arq enqueues, and arq's own worker runs it."""

import asyncio
import uuid
from contextlib import aclosing
from uuid import UUID

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from structlog.testing import capture_logs

from chatflow_hook.queue import JOB, QUEUE, QueueClient, add_enqueue, dumps, loads
from chatflow_hook.settings import RedisPlace
from tests.support.arq_worker import started_jobs


@pytest.fixture
def place(redis_url: str) -> RedisPlace:
    return RedisPlace(arguments=dict(parse_url(redis_url)))


async def test_arqs_worker_runs_a_job_that_the_hook_has_enqueued(place: RedisPlace) -> None:
    client = QueueClient(place, broker_db=3, result_db=4)
    request_id = uuid.uuid4()

    is_enqueued = await client.enqueue(request_id, within_s=30)
    await client.close()

    assert is_enqueued
    assert await started_jobs(place) == {str(request_id)}


async def test_a_cancellation_at_any_moment_ends_the_call(place: RedisPlace) -> None:
    client = QueueClient(place, broker_db=3, result_db=4)
    await client.enqueue(uuid.uuid4(), within_s=30)  # so that a connection is open

    for moment in range(100):
        call = asyncio.create_task(client.enqueue(uuid.uuid4(), within_s=30), name="enqueue")
        for _ in range(moment):
            await asyncio.sleep(0)
        was_over = call.done()
        call.cancel()
        await asyncio.wait({call})
        assert was_over or call.cancelled()
    await client.close()


async def test_many_jobs_that_redis_does_not_take_are_logged_once() -> None:
    nobody = RedisPlace(arguments={"host": "127.0.0.1", "port": 9})
    client = QueueClient(nobody, broker_db=3, result_db=4)

    with capture_logs() as log:
        are_enqueued = [await client.enqueue(uuid.uuid4(), within_s=30) for _ in range(3)]
    await client.close()

    assert are_enqueued == [False] * 3
    assert [line["event"] for line in log] == ["doorbell unheard"]


async def test_a_job_is_byte_for_byte_what_arq_itself_enqueues(place: RedisPlace) -> None:
    job_id = str(uuid.uuid4())
    async with aclosing(place.pool(3)) as of_arq, aclosing(place.pool(4)) as of_the_hook:
        arq, hook = ArqRedis(of_arq, job_serializer=dumps), Redis(connection_pool=of_the_hook)

        await arq.enqueue_job(JOB, job_id, _job_id=job_id)
        payload = await arq.get(f"arq:job:{job_id}")
        async with hook.pipeline(transaction=True) as pipe:
            add_enqueue(pipe, UUID(job_id), due_ms=loads(payload)["et"])
            await pipe.execute()

        assert await hook.get(f"arq:job:{job_id}") == payload
        assert await written(hook) == await written(arq)
        kept_ms = [await redis.pttl(f"arq:job:{job_id}") for redis in (arq, hook)]
        assert kept_ms[1] == pytest.approx(kept_ms[0], abs=60_000)


async def written(redis: Redis) -> tuple[set[bytes], list[tuple[bytes, float]]]:
    """Return the keys of a database, and the entries of the queue with their scores."""
    return set(await redis.keys()), await redis.zrange(QUEUE, 0, -1, withscores=True)
