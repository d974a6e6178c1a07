"""The relay: requests that Redis never heard of, or has forgotten, are drawn all the same."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from imagegen import broker, lease
from imagegen.lease import RecoveryTimes
from imagegen.relay import Relay
from imagegen.requests import Requests
from tests import chat
from tests.chat import Sessions
from tests.stage import PATIENCE_S, Stages
from tests.support.stopwatch import Stopwatch

TIMES = RecoveryTimes()


async def age(sessions: Sessions) -> None:
    """Make it half a minute since anything was heard of any request."""
    async with sessions.begin() as session:
        await session.execute(
            update(ImageRequest).values(
                updated_at=ImageRequest.updated_at - func.make_interval(0, 0, 0, 0, 0, 0, 30)
            )
        )


async def test_a_request_that_redis_has_forgotten_is_drawn(
    stages: Stages, sessions: Sessions, redis_url: str
) -> None:
    async with stages.set(works=False) as stage, Redis.from_url(redis_url, db=3) as redis:
        request = await stage.ask()
        await redis.flushdb()
        await age(sessions)

        async with stage.worker():
            picture = await stage.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED


@dataclass(frozen=True, kw_only=True)
class Bell:
    """A relay, the queue that it rings in, and requests of which nothing was heard for long."""

    relay: Relay
    queue: ArqRedis
    requests: list[str]

    async def lose(self, *requests: str, payload: bool = False, entry: bool = False) -> None:
        for each in requests:
            if payload:
                await self.queue.delete(f"arq:job:{each}")
            if entry:
                await self.queue.zrem("arq:queue", each)

    async def would_run(self) -> set[str]:
        """Return the requests that a worker will find, with all that it needs to run them."""
        queued = {entry.decode() for entry in await self.queue.zrange("arq:queue", 0, -1)}
        return {each for each in queued if await self.queue.exists(f"arq:job:{each}")}


@pytest.fixture
async def bell(stages: Stages, engine: AsyncEngine, redis_url: str) -> AsyncIterator[Bell]:
    settings = chat.hook_settings("postgresql://unused/db", redis_url)
    async with (
        stages.set(works=False) as stage,
        broker.queue(settings.redis, db=3) as queue,
    ):
        requests = [str((await stage.ask(dialog_id=number)).id) for number in range(1, 5)]
        yield Bell(relay=Relay(Requests(engine), queue, TIMES), queue=queue, requests=requests)


async def test_a_young_request_is_left_to_its_own_bell(bell: Bell) -> None:
    await bell.lose(*bell.requests, payload=True, entry=True)

    await bell.relay.step()

    assert await bell.would_run() == set()


@pytest.mark.parametrize("keys", [("payload", "entry"), ("payload",), ("entry",)])
async def test_whatever_redis_lost_of_a_job_is_put_back_once(
    bell: Bell, sessions: Sessions, keys: tuple[str, ...]
) -> None:
    await age(sessions)
    await bell.lose(*bell.requests[:2], **dict.fromkeys(keys, True))

    await bell.relay.step()
    await bell.relay.step()

    assert await bell.would_run() == set(bell.requests)
    assert await bell.queue.zcard("arq:queue") == len(bell.requests)


async def test_a_request_that_was_claimed_and_lost_is_rung_for_as_well(
    bell: Bell, sessions: Sessions, engine: AsyncEngine
) -> None:
    await Requests(engine).claim(UUID(bell.requests[0]))
    await age(sessions)
    await bell.lose(bell.requests[0], payload=True, entry=True)

    await bell.relay.step()

    assert bell.requests[0] in await bell.would_run()


async def test_a_job_that_lives_or_waits_its_time_is_left_alone(
    bell: Bell, sessions: Sessions
) -> None:
    living, deferred, *_ = bell.requests
    await age(sessions)
    await bell.lose(living, payload=True, entry=True)
    await bell.queue.set(f"arq:in-progress:{living}", b"1", px=4000)
    later = int((time.time() + 600) * 1000)
    await bell.queue.zadd("arq:queue", {deferred: later})

    await bell.relay.step()

    assert living not in await bell.would_run()
    assert await bell.queue.zscore("arq:queue", deferred) == later


async def test_the_lock_of_a_job_that_died_before_it_could_renew_it_is_taken_off(
    bell: Bell, sessions: Sessions
) -> None:
    died, just_taken, *_ = bell.requests
    await age(sessions)
    await bell.queue.set(f"arq:in-progress:{died}", b"1", ex=int(lease.FIRST_S) - 5)
    await bell.queue.set(f"arq:in-progress:{just_taken}", b"1", ex=int(lease.FIRST_S))

    await bell.relay.step()

    assert not await bell.queue.exists(f"arq:in-progress:{died}")
    assert await bell.queue.exists(f"arq:in-progress:{just_taken}")


async def test_a_thousand_open_requests_are_all_looked_after_in_one_step(
    bell: Bell, sessions: Sessions
) -> None:
    made = [str(uuid4()) for _ in range(1200)]
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
    await age(sessions)

    watch = Stopwatch()
    await bell.relay.step()
    took_s = watch.seconds

    assert await bell.would_run() == {*bell.requests, *made}
    assert took_s < TIMES.relay_every_s
