"""PostgreSQL and Valkey for the benchmarks, emptied between the runs."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from redis.asyncio import Redis

from imagegen.db import migrations
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.benchmarks.report.calibration import Calibration

_TABLES = """
    SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT LIKE '%version%'
"""


@dataclass(frozen=True, kw_only=True)
class BenchmarkServers:
    """The servers' URLs and process numbers, PostgreSQL's log, and the directory for all other logs.

    `calibration` is the speed of the machine just before the row.
    """

    database_url: str
    redis_url: str
    directory: Path
    postgres_log: Path
    pids: Mapping[str, int]
    is_quick: bool = False
    calibration: Calibration = field(default_factory=Calibration)

    async def clear(self, name: str) -> Path:
        """Empty database and Redis, and return an empty directory of that name for a run."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute(f"TRUNCATE {await connection.fetchval(_TABLES)} CASCADE")
        finally:
            await connection.close()
        async with Redis.from_url(self.redis_url) as redis:
            await redis.flushall()
        home = self.directory / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        return home


@contextmanager
def running_backends(directory: Path, *, is_quick: bool) -> Iterator[BenchmarkServers]:
    """Run the servers with our tables while the block runs; call it in the main thread."""
    with PostgresServer() as postgres, ValkeyServer() as valkey:
        migrations.upgrade(postgres.url)
        yield BenchmarkServers(
            database_url=postgres.url,
            redis_url=valkey.url,
            directory=directory.absolute(),
            # Private: only benchmarks need the path of the server's log.
            postgres_log=postgres._cluster.directory / f"{postgres.name}.log",
            pids={"postgresql": postgres.pid, "valkey": valkey.pid},
            is_quick=is_quick,
        )
