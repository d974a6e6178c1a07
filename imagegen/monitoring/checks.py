"""The readiness checks of a worker: Redis, PostgreSQL, Telegram, image store and ComfyUI hosts.

They run over connections of their own, which no job keeps busy. Each check returns None if all is
well, or what is missing as a short text; it may also raise an error with a sentence.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

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
from imagegen.monitoring.server_clocks import COMPARE_CLOCKS_EVERY_S, ServerClocks
from imagegen.pipeline.context import JobContext
from imagegen.pool.health import Condition
from imagegen.pool.pool import Pool
from imagegen.queue import connections
from imagegen.settings import Settings
from imagegen.storage.store import ImageStore

_UNUSABLE = (Condition.DOWN, Condition.ASIDE)
_COMMAND_TIMEOUT_S = 3.0
# How long an answer without a problem is kept: servers of others are not asked at each probe.
_TELEGRAM_OK_FOR_S = 10.0
_HOSTS_OK_FOR_S = 3.0
_STORE_OK_FOR_S = 30.0
_CHECK_REDIS_EVERY_S = 0.5
_WRITE_PROBE_KEY = "imagegen:write-probe"


@asynccontextmanager
async def running(
    settings: Settings, context: JobContext, readiness: Readiness
) -> AsyncIterator[None]:
    """Give `readiness` the checks of everything that a picture needs, while the block runs."""
    async with AsyncExitStack() as stack:
        engine = connect(settings.database_url, pool_size=1, command_timeout_s=_COMMAND_TIMEOUT_S)
        stack.push_async_callback(engine.dispose)
        redis = connections.result_connection(settings.redis, db=settings.redis_broker_db)
        stack.push_async_callback(redis.aclose)
        schema_check = SchemaCheck(engine)
        await stack.enter_async_context(
            periodic.every(migrations.SCHEMA_CHECK_EVERY_S, schema_check.step, name="schema")
        )
        checks = {
            "redis": CachedCheck(redis_check(redis)),
            "postgresql": CachedCheck(schema_check.lacks),
            "telegram": CachedCheck(telegram_check(context.telegram), ok_for_s=_TELEGRAM_OK_FOR_S),
            "store": CachedCheck(store_check(context.image_store), ok_for_s=_STORE_OK_FOR_S),
            "hosts": CachedCheck(hosts_check(context.pool), ok_for_s=_HOSTS_OK_FOR_S),
        }
        clocks = ServerClocks(redis, engine)
        await stack.enter_async_context(
            periodic.every(COMPARE_CLOCKS_EVERY_S, clocks.step, name="clocks")
        )
        await stack.enter_async_context(readiness.checking(checks, clocks_ahead_s=clocks.ahead_s))
        yield


async def serve_until_redis_answers(settings: Settings) -> None:
    """Answer probes until Redis answers; arq alone would wait for Redis without any sign.

    Raises:
        BadSetting: Redis refuses the password.
    """
    readiness = Readiness(lambda: False)
    async with (
        connections.result_connection(settings.redis, db=settings.redis_broker_db) as redis,
        http_server.serving(settings.web_host, settings.web_port, readiness),
        readiness.checking({"redis": CachedCheck(redis_check(redis))}),
    ):
        while not await connections.is_answering(settings.redis):  # noqa: ASYNC110 (Redis gives no event)
            await asyncio.sleep(_CHECK_REDIS_EVERY_S)


def redis_check(client: Redis) -> Check:
    """Return a check that writes to Redis, since a Redis that is full still answers a PING."""

    async def check() -> str | None:
        try:
            await client.set(_WRITE_PROBE_KEY, b"1", px=1)  # gone at once
        except AuthenticationError:
            return "it refuses the password"
        except ResponseError as error:
            return _refusal(error)
        except (RedisError, OSError) as error:
            return f"it does not answer: {type(error).__name__}"
        return None

    return check


def _refusal(error: ResponseError) -> str:
    """Return why Redis answers but refuses a write, and what to do; its own words may name keys."""
    match error:
        case OutOfMemoryError():
            return "it is full and refuses writes: raise maxmemory, or find what fills it"
        case ReadOnlyError():
            return "it is a replica and refuses writes: connect to the primary"
        case NoPermissionError():
            return "its user may not write: allow it in the ACL"
    match str(error).partition(" ")[0]:
        case "MISCONF":
            return "it cannot save to its disk and refuses writes: is the disk full?"
        case "NOREPLICAS":
            return "too few of its replicas are there and it refuses writes: min-replicas-to-write"
    return f"it refuses writes: {type(error).__name__}"


def telegram_check(bot: Telegram) -> Check:
    """Return a check that asks Telegram for the bot; a refused token is raised as TokenRevoked."""

    async def check() -> str | None:
        try:
            await bot.probe()
        except FloodWait:
            return None  # Telegram answers and knows the token
        except (NotSent, OutcomeUnknown):
            return "it cannot be reached"
        return None

    return check


def store_check(store: ImageStore) -> Check:
    """Return a check that writes to the image store; an outage is raised as StoreUnavailable."""

    async def check() -> str | None:
        await store.check_writable()
        return None

    return check


def hosts_check(pool: Pool) -> Check:
    """Return a check that succeeds if one host answers of those that the pool would use."""

    async def check() -> str | None:
        hosts = pool.status()
        usable = [host.name for host in hosts if host.condition not in _UNUSABLE]
        clients = [client for name in usable if (client := pool.client(name)) is not None]
        if await _any_answers(clients):
            return None
        return f"none of {len(hosts)} is up"

    return check


async def _any_answers(clients: list[HostClient]) -> bool:
    """Ask all hosts at once, and return as soon as one answers."""
    probes = [asyncio.create_task(_answers(client)) for client in clients]
    try:
        for answer in asyncio.as_completed(probes):
            if await answer:
                return True
        return False
    finally:
        for probe in probes:
            probe.cancel()


async def _answers(client: HostClient) -> bool:
    try:
        await client.probe()
    except HostLost:
        return False
    return True
