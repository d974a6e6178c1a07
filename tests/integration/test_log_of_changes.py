"""A trouble that comes, goes and comes again within minutes is in the log each time."""

import random
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from chatflow_hook.clock_skew import ClockSkew
from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import HostCapabilities
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.db.database_check import DatabaseCheck
from imagegen.db.engine import connect
from imagegen.delivery.errors import TokenRevoked
from imagegen.delivery.telegram import Telegram
from imagegen.errors import Unexpected
from imagegen.monitoring.persona_coverage import PersonaCoverage
from imagegen.pool.health_tracking import HealthTracker
from imagegen.pool.host import PooledHost
from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.queue.circuit_breaker import CircuitBreaker
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.workflows.library import Library
from imagegen.workflows.reload import ReloadableLibrary
from tests.support import broken_databases
from tests.support.pool_callers import Clock, pool_of
from tests.support.prompt_execution import LIMITS
from tests.support.shipped_workflows import shipped_workflows
from tests.support.slot_taker import HOST, SLOTS, redis_at
from tests.support.worker_log import worker_log

TIMES = 3


async def told(
    fail: Callable[[], Awaitable[object]], mend: Callable[[], Awaitable[object]]
) -> list[str]:
    """Return the lines about a trouble that comes and goes some times."""
    with worker_log() as lines:
        for _ in range(TIMES):
            await fail()
            await mend()
    return [line["event"] for line in lines]


async def test_a_host_that_fails_again() -> None:
    client = HostClient(HostAddress.parse("gpu-1:8188"), limits=LIMITS)
    host, clock = PooledHost(client=client, slots=1), Clock()
    tracker = HealthTracker([host], clock=clock, chance=random.Random())

    async def fail() -> None:
        tracker.record_failure(host, None, HostLost("gpu-1 is out of reach"))

    async def mend() -> None:
        tracker.record_success(host, None)
        clock.now += 40

    assert await told(fail, mend) == TIMES * ["host failed", "host is back"]


async def test_a_database_that_takes_no_writes_again(database_url: str) -> None:
    engine = connect(database_url, pool_size=1)
    check = DatabaseCheck(engine)

    async def make(*, is_read_only: bool) -> None:
        await broken_databases.make_read_only(database_url, is_read_only=is_read_only)
        await engine.dispose()
        await check.step()

    lines = await told(lambda: make(is_read_only=True), lambda: make(is_read_only=False))

    await engine.dispose()
    assert lines == TIMES * ["database not ready", "database ready"]


async def test_jobs_that_are_not_taken_again() -> None:
    breaker = CircuitBreaker(threshold=3, trial_every_s=1.0, quiet_s=60.0, clock=Clock())

    async def fail() -> None:
        for number in range(3):
            with pytest.raises(Unexpected), breaker.watching(UUID(int=number)):
                raise Unexpected("refused", reason="the database refuses")

    async def mend() -> None:
        breaker.succeeded()

    assert await told(fail, mend) == TIMES * ["jobs are not taken", "jobs are taken again"]


async def test_slots_that_are_not_shared_again() -> None:
    clock = Clock()
    with ValkeyServer() as valkey:
        async with redis_at(valkey.url) as redis:
            registry = RedisSlotRegistry(redis, clock=clock)

            async def take(change: Callable[[], None]) -> None:
                change()
                clock.now += 5
                await registry.take(HOST, SLOTS)

            lines = await told(lambda: take(valkey.stop), lambda: take(valkey.start))

    assert [line for line in lines if line.startswith("slots")] == TIMES * [
        "slots are not shared: redis is away",
        "slots are shared again",
    ]


async def test_a_token_that_is_revoked_again() -> None:
    async with (
        SandboxTelegram() as server,
        Telegram(token=server.token, api_url=server.url, timeout_s=5) as telegram,
    ):
        token = server.token

        async def fail() -> None:
            server.token = "1:another"
            with pytest.raises(TokenRevoked):
                await telegram.probe()

        async def mend() -> None:
            server.token = token
            await telegram.probe()

        lines = await told(fail, mend)

    assert lines == TIMES * [
        "telegram token revoked: pictures are kept, none is sent",
        "telegram knows the token again",
    ]


async def test_clocks_that_differ_again() -> None:
    skew = ClockSkew("redis", clock=lambda: 1_700_000_000.0)

    async def measure(ahead_s: float) -> None:
        async def read_clock() -> float:
            return 1_700_000_000.0 + ahead_s

        await skew.measure(read_clock)

    lines = await told(lambda: measure(30.0), lambda: measure(0.0))

    assert lines == TIMES * ["clocks differ", "clocks agree again"]


async def test_a_persona_that_no_host_can_draw_again() -> None:
    ash = shipped_workflows().find("ash")
    name, pool = "a:8188", pool_of("a:8188")
    coverage = PersonaCoverage(
        ReloadableLibrary(lambda: Library(workflows={"ash": ash}, faults={})), pool
    )

    async def have(classes: frozenset[str]) -> None:
        pool._hosts[name].set_capabilities(HostCapabilities(classes=classes, names={}), now=0)
        await coverage.step()

    lines = await told(lambda: have(frozenset({"Plain"})), lambda: have(ash.requirements.classes))

    assert lines == TIMES * [
        "no host can draw this persona",
        "every host can draw this persona again",
    ]
