"""The relay: requests that are missing in Redis are drawn all the same."""

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
from imagegen.queue import connections, job_lease
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.requests.repository import RequestRepository
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.product import PATIENCE_S, Stages

TIMES = RecoveryTimes()


async def age(sessions: Sessions) -> None:
    """Set the last write of every request back by half a minute."""
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
class RelaySetup:
    """A relay, its queue, and open requests that are enqueued."""

    relay: OutboxRelay
    queue: ArqRedis
    requests: list[str]

    async def lose(self, *requests: str, payload: bool = False, entry: bool = False) -> None:
        for request_id in requests:
            if payload:
                await self.queue.delete(f"arq:job:{request_id}")
            if entry:
                await self.queue.zrem("arq:queue", request_id)

    async def would_run(self) -> set[str]:
        """Return the requests that a worker would find in the queue and could run."""
        queued = {entry.decode() for entry in await self.queue.zrange("arq:queue", 0, -1)}
        return {each for each in queued if await self.queue.exists(f"arq:job:{each}")}


@pytest.fixture
async def setup(stages: Stages, engine: AsyncEngine, redis_url: str) -> AsyncIterator[RelaySetup]:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    async with (
        stages.set(works=False) as stage,
        connections.job_queue(settings.redis, db=3) as queue,
    ):
        requests = [str((await stage.ask(dialog_id=number)).id) for number in range(1, 5)]
        yield RelaySetup(
            relay=OutboxRelay(RequestRepository(engine), queue, TIMES),
            queue=queue,
            requests=requests,
        )


async def test_a_young_request_is_left_to_its_own_bell(setup: RelaySetup) -> None:
    await setup.lose(*setup.requests, payload=True, entry=True)

    await setup.relay.step()

    assert await setup.would_run() == set()


@pytest.mark.parametrize("keys", [("payload", "entry"), ("payload",), ("entry",)])
async def test_whatever_redis_lost_of_a_job_is_put_back_once(
    setup: RelaySetup, sessions: Sessions, keys: tuple[str, ...]
) -> None:
    await age(sessions)
    await setup.lose(*setup.requests[:2], **dict.fromkeys(keys, True))

    await setup.relay.step()
    await setup.relay.step()

    assert await setup.would_run() == set(setup.requests)
    assert await setup.queue.zcard("arq:queue") == len(setup.requests)


async def test_a_request_that_was_claimed_and_lost_is_rung_for_as_well(
    setup: RelaySetup, sessions: Sessions, engine: AsyncEngine
) -> None:
    await RequestRepository(engine).claim(UUID(setup.requests[0]))
    await age(sessions)
    await setup.lose(setup.requests[0], payload=True, entry=True)

    await setup.relay.step()

    assert setup.requests[0] in await setup.would_run()


async def test_a_job_that_lives_or_waits_its_time_is_left_alone(
    setup: RelaySetup, sessions: Sessions
) -> None:
    living, deferred, *_ = setup.requests
    await age(sessions)
    await setup.lose(living, payload=True, entry=True)
    await setup.queue.set(f"arq:in-progress:{living}", b"1", px=4000)
    later = int((time.time() + 600) * 1000)
    await setup.queue.zadd("arq:queue", {deferred: later})

    await setup.relay.step()

    assert living not in await setup.would_run()
    assert await setup.queue.zscore("arq:queue", deferred) == later


async def test_the_lock_of_a_job_that_died_before_it_could_renew_it_is_taken_off(
    setup: RelaySetup, sessions: Sessions
) -> None:
    died, just_taken, *_ = setup.requests
    await age(sessions)
    await setup.queue.set(f"arq:in-progress:{died}", b"1", ex=int(job_lease.INITIAL_LOCK_S) - 5)
    await setup.queue.set(f"arq:in-progress:{just_taken}", b"1", ex=int(job_lease.INITIAL_LOCK_S))

    await setup.relay.step()

    assert not await setup.queue.exists(f"arq:in-progress:{died}")
    assert await setup.queue.exists(f"arq:in-progress:{just_taken}")


async def commands(redis: ArqRedis) -> int:
    """Return how many commands Redis has carried out."""
    return int((await redis.info("stats"))["total_commands_processed"])


async def test_a_thousand_open_requests_are_all_looked_after_in_one_step(
    setup: RelaySetup, sessions: Sessions
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

    before = await commands(setup.queue)
    await setup.relay.step()
    asked = await commands(setup.queue) - before

    assert await setup.would_run() == {*setup.requests, *made}
    # Three questions each, and six commands to put it back: no more, however many there are.
    assert asked < 10 * len(made)
