"""Cost: what one picture takes of Redis, PostgreSQL, the host, Telegram and the worker's CPU."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.our_worker import OurWorker
from tests.benchmarks.load.sandbox_fleet import FleetClient, open_fleet
from tests.benchmarks.load.saturation import OPTIONS
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "cost"
_OPTIONS = replace(OPTIONS, drawing_s=0.5, proxies=True)
_WARM_UP = 4
_CPU_MS = 25.0
_PATIENCE_S = 120.0
_EXECUTED = re.compile(r"LOG:  (?:execute [^:]*|statement): *\n?\t*(\S.*)")


@dataclass(frozen=True, kw_only=True)
class Count:
    """The number of calls so far to each part; `sql` and `redis` by statement and command."""

    redis: Mapping[str, int]
    sql: Mapping[str, int]
    requests: Mapping[str, int]
    calls: Mapping[str, int]
    host_bytes: int


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Draw some pictures and divide, without what the hook and we ourselves ask."""
    count = 10 if backends.is_quick else 60
    home = await backends.clear(NAME)
    async with open_fleet(home, _OPTIONS) as fleet, _watched(backends, home, fleet) as we:
        # The worker stands still while the hook asks, so that the two can be told apart.
        we.workers[0].freeze()
        await we.submit(count)
        before = await _count(backends, fleet)
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        we.workers[0].thaw()
        await all_ended(we, _WARM_UP + count, patience_s=_PATIENCE_S)
        # The last entries on hosts are deleted after the delivery.
        await asyncio.sleep(0.5)
        loads = worker.read(), sandbox.read()
        after = await _count(backends, fleet)
    for figure in _figures(before, after, count):
        yield figure
    yield _cpu_figure(backends, count, *loads)


@asynccontextmanager
async def _watched(
    backends: BenchmarkServers, home: Any, fleet: FleetClient
) -> AsyncIterator[OurWorker]:
    """Run a worker whose statements PostgreSQL logs, and a hook whose it does not."""
    async with our_worker.start_without_workers(backends, home, fleet) as we:
        # Connections that are open already keep their setting.
        await we.submit(_WARM_UP)
        await we.ended()
        await _log_statements(backends, "all")
        try:
            we.start()
            await we.ready()
            await all_ended(we, _WARM_UP, patience_s=_PATIENCE_S)
            yield we
        finally:
            await _log_statements(backends, "none")


async def _log_statements(backends: BenchmarkServers, which: str) -> None:
    connection = await asyncpg.connect(backends.database_url)
    try:
        await connection.execute(f"ALTER DATABASE postgres SET log_statement = '{which}'")
    finally:
        await connection.close()


async def _count(backends: BenchmarkServers, fleet: FleetClient) -> Count:
    traffic = await fleet.traffic()
    async with Redis.from_url(backends.redis_url) as redis:
        stats = await redis.info("commandstats")
    executed = _EXECUTED.findall(backends.postgres_log.read_text(errors="replace"))
    return Count(
        redis={name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()},
        sql=Counter(_kind(statement) for statement in executed),
        requests=traffic["requests"],
        calls=traffic["calls"],
        host_bytes=traffic["bytes"],
    )


def _kind(statement: str) -> str:
    """Name a statement by its verb and table."""
    verb, *_ = statement.split()
    table = re.search(r"(?:FROM|INTO|UPDATE)\s+(\w+)", statement)
    return f"{verb.strip(';').upper()} {table[1] if table else ''}".strip()


def _figures(before: Count, after: Count, count: int) -> list[Figure]:
    def grown(name: str) -> dict[str, float]:
        was = getattr(before, name)
        more = {key: value - was.get(key, 0) for key, value in getattr(after, name).items()}
        return {key: round(value / count, 2) for key, value in more.items() if value > 0}

    # Ours: one to count, one to say that.
    redis = {key: value for key, value in grown("redis").items() if key not in {"info", "hello"}}
    sizes = (after.host_bytes - before.host_bytes) / count
    return [
        _counted("Redis commands", redis),
        _counted("SQL statements", grown("sql")),
        _counted("HTTP requests to the host", grown("requests")),
        _counted("calls to Telegram", grown("calls")),
        Figure(row=NAME, name="bytes from the host", measured=f"{sizes / 1e6:.3f} MB"),
    ]


def _cpu_figure(backends: BenchmarkServers, count: int, worker: Load, sandbox: Load) -> Figure:
    cpu_ms, most_ms = 1000 * worker.seconds / count, backends.calibration.most(_CPU_MS)
    return Figure(
        row=NAME,
        name="CPU of the worker",
        measured=f"{cpu_ms:.1f} ms",
        target=f"≤ {most_ms:.0f} ms",
        is_reached=cpu_ms <= most_ms,
        worker_cpu=worker.cores,
        sandbox_cpu=sandbox.cores,
        facts={"cpu_ms": cpu_ms},
    )


def _counted(name: str, kinds: Mapping[str, float]) -> Figure:
    return Figure(
        row=NAME, name=name, measured=f"{sum(kinds.values()):.1f}", facts={"kinds": dict(kinds)}
    )
