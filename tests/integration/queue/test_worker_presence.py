"""Which workers run: a death is noticed by the connection that it closes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from imagegen.pool.slot_scripts import room_channel
from imagegen.queue.worker_presence import WORKERS_KEY, PresenceTimes, WorkerPresence
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import slot_taker
from tests.support.patience import PATIENCE_S
from tests.support.slot_taker import redis_at

TIMES = PresenceTimes(look_every_s=0.02, missing_s=0.1, settle_s=0.3)


@dataclass(eq=False)
class Worker:
    """A worker that notes what it hears and who has died."""

    redis: Redis
    name: str
    messages: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)

    def shown(self) -> AbstractAsyncContextManager[None]:
        self.presence = WorkerPresence(
            self.redis,
            self.name,
            channel=room_channel,
            on_message=self.messages.append,
            on_death=self.bury,
            times=TIMES,
        )
        return self.presence.shown()

    async def bury(self, died: str) -> None:
        self.deaths.append(died)

    async def looks_again(self) -> None:
        before = self.presence._looked_at
        await until(lambda: self.presence._looked_at > before)

    async def is_seen(self) -> None:
        """Wait until the others can see this worker."""
        await until(lambda: self.presence._registered_at > 0)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 (only its lists show it)
            await asyncio.sleep(0.005)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_at(redis_url) as redis:
        yield redis


@pytest.fixture
async def other_redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_at(redis_url) as redis:
        yield redis


async def _registered_dead(redis: Redis, name: str) -> None:
    """Leave what a worker leaves that was killed: its name, and nobody on its channel."""
    seconds, _ = await redis.time()
    await redis.zadd(WORKERS_KEY, {name: seconds})


async def test_a_worker_that_is_not_on_its_channel_any_more_is_dead(redis: Redis) -> None:
    await _registered_dead(redis, "killed")

    worker = Worker(redis, "living")
    async with worker.shown():
        await until(lambda: worker.deaths)

    assert worker.deaths == ["killed"]
    assert await redis.zrange(WORKERS_KEY, 0, -1) == []


async def test_one_of_two_workers_takes_over_what_a_dead_one_had(
    redis: Redis, other_redis: Redis
) -> None:
    one, two = Worker(redis, "one"), Worker(other_redis, "two")
    async with one.shown(), two.shown():
        await one.is_seen()
        await two.is_seen()
        await _registered_dead(redis, "killed")

        await until(lambda: one.deaths + two.deaths)
        await _looked_again(one, two)

    assert one.deaths + two.deaths == ["killed"]


async def test_a_worker_that_ends_in_good_order_is_no_death(
    redis: Redis, other_redis: Redis
) -> None:
    living, leaving = Worker(redis, "living"), Worker(other_redis, "leaving")
    async with living.shown():
        async with leaving.shown():
            await living.is_seen()
            await leaving.is_seen()
            await until(lambda: living.presence._others == ("leaving",))

        await until(lambda: living.presence._others == ())
        await _looked_again(living)

    assert living.deaths == []


async def test_a_worker_whose_connection_breaks_for_a_moment_is_not_taken_for_dead(
    redis: Redis, other_redis: Redis
) -> None:
    living, cut_off = Worker(redis, "living"), Worker(other_redis, "cut off")
    async with living.shown(), cut_off.shown():
        await living.is_seen()
        await cut_off.is_seen()
        await until(lambda: living.presence._others == ("cut off",))
        for client in await redis.client_list(_type="pubsub"):
            await redis.client_kill_filter(_id=client["id"])

        await until(lambda: not cut_off.presence._is_listening.is_set())
        await until(cut_off.presence._is_listening.is_set)
        await until(living.presence._is_listening.is_set)
        await _looked_again(living)

    assert living.deaths == []


async def test_after_an_outage_of_redis_nobody_is_taken_for_dead() -> None:
    with ValkeyServer() as valkey:
        async with redis_at(valkey.url) as redis, redis_at(valkey.url) as other_redis:
            one, two = Worker(redis, "one"), Worker(other_redis, "two")
            async with one.shown(), two.shown():
                await one.is_seen()
                await two.is_seen()

                valkey.restart()

                both = (one.presence, two.presence)
                await until(lambda: all(each._judges_from > 0 for each in both))
                await until(lambda: all(each._looked_at > each._judges_from for each in both))
                await _looked_again(one, two)

    assert one.deaths + two.deaths == []


async def test_a_worker_that_stands_still_lives_and_one_that_is_killed_is_dead(
    redis: Redis, redis_url: str
) -> None:
    worker = Worker(redis, "living")
    async with worker.shown():
        with slot_taker.start("be_there", redis_url) as other:
            await until(lambda: worker.presence._others == ("other",))

            other.process.send_signal(signal.SIGSTOP)
            looks_until = time.monotonic() + 10 * TIMES.missing_s
            await until(lambda: worker.presence._looked_at > looks_until)
            assert worker.deaths == []

            other.process.kill()
            await until(lambda: worker.deaths)
    assert worker.deaths == ["other"]


async def test_a_message_on_its_channel_is_handed_on(redis: Redis) -> None:
    worker = Worker(redis, "worker")
    async with worker.shown():
        await worker.is_seen()

        await redis.publish(room_channel("worker"), "gpu-1:8188")

        await until(lambda: worker.messages)
    assert worker.messages == ["gpu-1:8188"]


async def test_after_a_message_that_cannot_be_read_it_listens_again(redis: Redis) -> None:
    worker = Worker(redis, "worker")
    with capture_logs() as log:
        async with worker.shown():
            await worker.is_seen()

            await redis.publish(room_channel("worker"), b"\xff")
            await until(lambda: "a step failed" in [line["event"] for line in log])
            await until(worker.presence._is_listening.is_set)
            await redis.publish(room_channel("worker"), "gpu-1:8188")

            await until(lambda: worker.messages)
    assert worker.messages == ["gpu-1:8188"]


async def _looked_again(*workers: Worker) -> None:
    """Wait until each of them has looked for the others twice from now on."""
    for worker in workers:
        for _ in range(2):
            await worker.looks_again()
