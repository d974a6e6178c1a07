"""The worker warns of another program in the Redis database of its queue."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from chatflow_hook.queue import add_enqueue
from imagegen.queue.foreign_keys import warn_of_foreign_keys
from tests.support import celery_service
from tests.support.celery_service import picture, send


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, db=3) as redis:
        yield redis


async def test_a_queue_that_is_alone_is_no_warning(redis: Redis) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        add_enqueue(pipe, uuid4(), due_ms=1)
        await pipe.execute()
    await redis.set("imagegen:live:1", "")

    with capture_logs() as log:
        await warn_of_foreign_keys(redis, db=3)

    assert log == []


async def test_celerys_keys_are_counted_and_the_command_is_named(
    redis: Redis, redis_url: str
) -> None:
    with celery_service.app(redis_url) as celery:
        await send(celery, picture())

    with capture_logs() as log:
        await warn_of_foreign_keys(redis, db=3)

    (line,) = log
    assert line["event"] == "another program uses the queue's database"
    assert line["keys"] == line["of_celery"] == await redis.dbsize()
    assert "imagegen import-celery" in line["advice"]


async def test_names_of_keys_are_not_logged(redis: Redis) -> None:
    await redis.set("user:4711:features", "")

    with capture_logs() as log:
        await warn_of_foreign_keys(redis, db=3)

    (line,) = log
    assert (line["keys"], line["of_celery"]) == (1, 0)
    assert "4711" not in str(line)
    assert "REDIS_BROKER_DB" in line["advice"]


async def test_a_redis_that_is_away_is_no_fault() -> None:
    async with Redis.from_url("redis://localhost:1") as away:
        with capture_logs() as log:
            await warn_of_foreign_keys(away, db=3)

    assert log == []
