"""The readiness checks of a worker: its servers, image store, hosts, personas and jobs.

They run over connections of their own, which no job keeps busy. Each check returns None if all is
well, or what is missing as a short text; it may also raise an error with a sentence.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisPlace
from imagegen import periodic
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.db.database_check import CHECK_DATABASE_EVERY_S, DatabaseCheck
from imagegen.db.engine import connect
from imagegen.db.tables import HostUse
from imagegen.delivery.errors import FloodWait, NotSent, OutcomeUnknown
from imagegen.delivery.telegram import Telegram
from imagegen.monitoring import http_server, worker_status
from imagegen.monitoring.persona_coverage import PersonaCoverage
from imagegen.monitoring.readiness import CachedCheck, Check, Readiness
from imagegen.monitoring.server_clocks import COMPARE_CLOCKS_EVERY_S, ServerClocks
from imagegen.pipeline.context import JobContext
from imagegen.pool.host import HostStatus
from imagegen.pool.pool import Pool
from imagegen.queue import connections
from imagegen.settings import Settings
from imagegen.storage.store import ImageStore

log = structlog.get_logger(__name__)

_COMMAND_TIMEOUT_S = 3.0
# How long an answer without a problem is kept: servers of others are not asked at each probe.
_TELEGRAM_OK_FOR_S = 10.0
_HOSTS_OK_FOR_S = 3.0
_STORE_OK_FOR_S = 30.0
_WORKERS_OK_FOR_S = 10.0
_CHECK_REDIS_EVERY_S = 0.5
_WRITE_PROBE_KEY = "imagegen:write-probe"


def check_engine(settings: Settings) -> AsyncEngine:
    """Return an engine for checks, which no job keeps busy; the caller disposes of it."""
    return connect(settings.database_url, pool_size=1, command_timeout_s=_COMMAND_TIMEOUT_S)


@asynccontextmanager
async def running(
    settings: Settings,
    context: JobContext,
    readiness: Readiness,
    engine: AsyncEngine,
    coverage: PersonaCoverage,
) -> AsyncIterator[None]:
    """Give `readiness` the checks of everything that a picture needs, while the block runs.

    `engine` is one of `check_engine`; `coverage` is kept up to date by somebody else.
    """
    async with AsyncExitStack() as stack:
        redis = connections.result_connection(settings.redis, db=settings.redis_broker_db)
        stack.push_async_callback(redis.aclose)
        results = connections.result_connection(settings.redis, db=settings.redis_result_db)
        stack.push_async_callback(results.aclose)
        database_check = DatabaseCheck(engine)
        await stack.enter_async_context(
            periodic.every(CHECK_DATABASE_EVERY_S, database_check.step, name="database")
        )
        checks = {
            "redis": CachedCheck(redis_check(redis, settings.redis)),
            "postgresql": CachedCheck(database_check.lacks),
            "telegram": CachedCheck(telegram_check(context.telegram), ok_for_s=_TELEGRAM_OK_FOR_S),
            "hosts": CachedCheck(hosts_check(context.pool), ok_for_s=_HOSTS_OK_FOR_S),
            "personas": CachedCheck(coverage.why_none),
            "requests": CachedCheck(context.circuit_breaker.why_open),
        }
        warning_checks = {
            # Pictures for a chat are delivered without it.
            "store": CachedCheck(store_check(context.image_store), ok_for_s=_STORE_OK_FOR_S),
            "personas": CachedCheck(coverage.why_not_all),
            "pauses": CachedCheck(context.pause_gate.why_held),
            "cost limit": CachedCheck(context.cost_limit.why_reached),
            "workers": CachedCheck(workers_check(results), ok_for_s=_WORKERS_OK_FOR_S),
        }
        clocks = ServerClocks(redis, engine)
        await stack.enter_async_context(
            periodic.every(COMPARE_CLOCKS_EVERY_S, clocks.step, name="clocks")
        )
        await stack.enter_async_context(
            readiness.checking(checks, warning_checks=warning_checks, clocks_ahead_s=clocks.ahead_s)
        )
        yield


async def wait_for_redis(settings: Settings) -> None:
    """Return once Redis answers, and answer probes until then; arq alone would wait without a sign.

    Raises:
        BadSetting: Redis refuses the password, or has no database of one of the numbers.
    """
    why = await connections.outage(settings)
    if why is None:
        return
    started, readiness = time.monotonic(), Readiness(lambda: False)
    async with (
        connections.result_connection(settings.redis, db=settings.redis_broker_db) as redis,
        http_server.serving(settings.web_host, settings.web_port, readiness),
        readiness.checking({"redis": CachedCheck(redis_check(redis, settings.redis))}),
    ):
        while why is not None:
            log.warning("redis cannot be used", why=why)
            await asyncio.sleep(_CHECK_REDIS_EVERY_S)
            why = await connections.outage(settings)
    log.info("redis can be used", seconds=round(time.monotonic() - started, 1))


def redis_check(client: Redis, place: RedisPlace) -> Check:
    """Return a check that writes to Redis, since a Redis that is full still answers a PING."""

    async def check() -> str | None:
        try:
            await client.set(_WRITE_PROBE_KEY, b"1", px=1)  # gone at once
        except (RedisError, OSError) as error:
            return redis_errors.why(error, place.address, user=place.user)
        return None

    return check


def telegram_check(bot: Telegram) -> Check:
    """Return a check that asks Telegram for the bot; a refused token is raised as TokenRevoked."""

    async def check() -> str | None:
        try:
            await bot.probe()
        except FloodWait:
            return None  # Telegram answers and knows the token
        except NotSent as error:
            return error.sentence
        except OutcomeUnknown:
            return "it breaks the connection, has an error of its own, or does not answer in time"
        return None

    return check


def store_check(store: ImageStore) -> Check:
    """Return a check that writes to the image store; an outage is raised as StoreUnavailable."""

    async def check() -> str | None:
        await store.check_writable()
        return None

    return check


def workers_check(results: Redis) -> Check:
    """Return a check whether all workers on the same hosts count the slots of the others."""

    async def check() -> str | None:
        try:
            unshared = worker_status.why_unshared(await worker_status.read_workers(results))
        except (RedisError, OSError):
            return None  # the check of Redis says it
        return None if unshared is None else f"{unshared}: set WORKERS_SHARE_HOSTS=true for all"

    return check


def hosts_check(pool: Pool) -> Check:
    """Return a check that succeeds if one host answers of those that the pool would use."""

    async def check() -> str | None:
        hosts = pool.status()
        usable = [host.name for host in hosts if host.is_usable]
        clients = [client for name in usable if (client := pool.client(name)) is not None]
        if await _any_answers(clients):
            return None
        return _why_none_answers(hosts)

    return check


def _why_none_answers(hosts: Sequence[HostStatus]) -> str:
    if not hosts:
        return "there is none: COMFYUI_HOSTS and `imagegen hosts add` name them"
    active = [host for host in hosts if host.use is HostUse.ACTIVE]
    if not active:
        return f"all {len(hosts)} are drained or removed: `imagegen hosts resume` uses them again"
    drained_count = len(hosts) - len(active)
    drained = f", and {drained_count} drained" if drained_count else ""
    # Most reasons begin with the name.
    whys = (f"{each.name}: {each.why.removeprefix(f'{each.name} ')}" for each in active if each.why)
    why = next((f" ({each})" for each in whys), "")
    return f"none of {len(active)} is up{drained}{why}: start ComfyUI there; `imagegen hosts` says more"


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
