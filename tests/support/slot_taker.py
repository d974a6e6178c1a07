"""A worker that takes shared slots and does nothing else, as a process of its own."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from chatflow_hook.settings import RedisPlace
from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.pool.slot_scripts import room_channel
from imagegen.queue import connections
from imagegen.queue.worker_presence import WorkerPresence
from tests.support import fork_server
from tests.support.fork_server import RecordedCommand

HOST = "gpu-1:8188"
SLOTS = 2
LEASE_S = 1.0
_ROUNDS = 40


@asynccontextmanager
async def redis_at(url: str) -> AsyncIterator[Redis]:
    """Open Redis as the worker does."""
    redis = connections.result_connection(RedisPlace(arguments=dict(parse_url(url))), db=4)
    try:
        yield redis
    finally:
        await redis.aclose()


def start(what: str, redis_url: str) -> RecordedCommand:
    """Start a process that runs one of the functions below."""
    return RecordedCommand(
        fork_server.shared(),
        [sys.executable, "-c", f"import tests.support.slot_taker as it; it.{what}()"],
        env={"TAKER_REDIS": redis_url},
        cwd=fork_server.ROOT,
    )


def draw_often() -> None:
    """Take a slot many times; print how many prompts were on the host at most."""
    print(asyncio.run(_draw_often()))  # noqa: T201 (what it has to say)


def keep_all() -> None:
    """Take all slots, and keep them until the process ends."""
    asyncio.run(_keep_all())


def be_there() -> None:
    """Show as the worker `other` that this process lives, until it ends."""
    asyncio.run(_be_there())


async def _be_there() -> None:
    async with redis_at(os.environ["TAKER_REDIS"]) as redis:
        presence = WorkerPresence(
            redis,
            "other",
            channel=room_channel,
            on_message=lambda _: None,
            on_death=lambda _: asyncio.sleep(0),
        )
        async with presence.shown():
            await asyncio.Event().wait()


async def _draw_often() -> int:
    chance = random.Random(os.getpid())
    async with redis_at(os.environ["TAKER_REDIS"]) as redis:
        shared = RedisSlotRegistry(redis, lease_s=LEASE_S)
        async with shared.renewed():
            drawers = [_drawn(shared, redis, chance) for _ in range(4)]
            return max(await asyncio.gather(*drawers))


async def _drawn(shared: RedisSlotRegistry, redis: Redis, chance: random.Random) -> int:
    most = drawn = 0
    while drawn < _ROUNDS:
        slot = await shared.take(HOST, SLOTS)
        if slot is None:
            await asyncio.sleep(0.001)
            continue
        most = max(most, await redis.incr("prompts"))
        await asyncio.sleep(chance.random() * 0.004)
        await redis.decr("prompts")
        slot.release()
        drawn += 1
    return most


async def _keep_all() -> None:
    async with redis_at(os.environ["TAKER_REDIS"]) as redis:
        shared = RedisSlotRegistry(redis, lease_s=LEASE_S)
        async with shared.renewed():
            for _ in range(SLOTS):
                await shared.take(HOST, SLOTS)
            await asyncio.Event().wait()
