"""What a worker needs, as checks that say what is missing; and the probes that answer with them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from imagegen import periodic
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.db.migrations import SchemaCheck
from imagegen.delivery.errors import FloodWait, NotSent, OutcomeUnknown
from imagegen.delivery.telegram import Telegram
from imagegen.monitoring import http_server
from imagegen.monitoring.readiness import CachedCheck, Check, Readiness
from imagegen.pipeline.context import JobContext
from imagegen.pool.health import Condition
from imagegen.pool.pool import Pool
from imagegen.queue import connections
from imagegen.settings import Settings

_UNUSABLE = (Condition.DOWN, Condition.ASIDE)


def redis_check(client: Redis) -> Check:
    """Ask Redis whether it answers."""

    async def ask() -> str | None:
        try:
            await client.ping()
        except AuthenticationError:
            return "it refuses the password"
        except (RedisError, OSError) as error:
            return f"it does not answer: {type(error).__name__}"
        return None

    return ask


def telegram_check(bot: Telegram) -> Check:
    """Ask Telegram whether it knows the token; the error that it raises tells."""

    async def ask() -> str | None:
        try:
            await bot.probe()
        except FloodWait:
            return None  # it knows us well enough
        except (NotSent, OutcomeUnknown):
            return "it cannot be reached"
        return None

    return ask


def hosts_check(pool: Pool) -> Check:
    """Ask the hosts that the pool would draw on whether one of them answers."""

    async def ask() -> str | None:
        status = pool.status()
        usable = [each.name for each in status if each.condition not in _UNUSABLE]
        clients = [client for name in usable if (client := pool.client(name)) is not None]
        if await _one_answers(clients):
            return None
        return f"none of {len(status)} is up"

    return ask


async def _one_answers(clients: list[HostClient]) -> bool:
    asked = [asyncio.create_task(_answers(client)) for client in clients]
    try:
        for first in asyncio.as_completed(asked):
            if await first:
                return True
        return False
    finally:
        for task in asked:
            task.cancel()


async def _answers(client: HostClient) -> bool:
    try:
        await client.probe()
    except HostLost:
        return False
    return True


_ASK_WITHIN_S = 3.0
# Others are not asked at each probe how they are.
_WELL_ABROAD_S = 10.0
_WELL_NEARBY_S = 3.0
_LOOK_FOR_REDIS_EVERY_S = 0.5


@asynccontextmanager
async def watched(
    chosen: Settings, context: JobContext, readiness: Readiness
) -> AsyncIterator[None]:
    """Let `readiness` ask for all that a picture needs while the block runs."""
    async with AsyncExitStack() as stack:
        engine = connect(chosen.database_url, pool_size=1, command_timeout_s=_ASK_WITHIN_S)
        stack.push_async_callback(engine.dispose)
        redis = connections.result_connection(chosen.redis, db=chosen.redis_broker_db)
        stack.push_async_callback(redis.aclose)
        its = SchemaCheck(engine)
        await stack.enter_async_context(
            periodic.every(migrations.SCHEMA_CHECK_EVERY_S, its.step, name="schema")
        )
        questions = {
            "redis": CachedCheck(redis_check(redis)),
            "postgresql": CachedCheck(its.lacks),
            "telegram": CachedCheck(telegram_check(context.telegram), well_for_s=_WELL_ABROAD_S),
            "hosts": CachedCheck(hosts_check(context.pool), well_for_s=_WELL_NEARBY_S),
        }
        await stack.enter_async_context(readiness.checking(questions))
        yield


async def serve_until_redis_answers(chosen: Settings) -> None:
    """Wait for Redis where probes hear of it, since arq would only wait. Raises BadSetting."""
    readiness = Readiness(lambda: False)
    async with (
        connections.result_connection(chosen.redis, db=chosen.redis_broker_db) as redis,
        http_server.serving(chosen.web_host, chosen.web_port, readiness),
        readiness.checking({"redis": CachedCheck(redis_check(redis))}),
    ):
        while not await connections.is_answering(chosen.redis):  # noqa: ASYNC110 (nobody would tell)
            await asyncio.sleep(_LOOK_FOR_REDIS_EVERY_S)
