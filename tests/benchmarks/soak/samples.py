"""What processes and servers hold at one moment: memory, files, tasks, connections, keys."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.benchmarks.chaos.bot import is_set_within
from tests.benchmarks.chaos.workers import WorkerGroup
from tests.benchmarks.report.process_usage import rss_mb

_TIMEOUT_S = 2.0
# asyncpg's InternalClientError is what a query ends with whose connection is being given up.
_DATABASE_IS_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"

# How much of a resource there was after so many pictures.
Series = list[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Samples the workers, this process (the bot's) and both servers.

    `pictures` returns how many pictures there are. `task_counts` is the directory in which workers
    write how many tasks they have (see worker_process.py). `series` is by resource.
    """

    worker_group: WorkerGroup
    database_url: str
    redis_url: str
    task_counts: Path
    pictures: Callable[[], int]
    series: dict[str, Series] = field(default_factory=lambda: defaultdict(list))

    async def run(self, every_s: float, is_over: asyncio.Event) -> None:
        """Sample until it is over. What cannot be reached just now is missing in that sample."""
        self._ask_for_task_counts()
        while not await is_set_within(is_over, every_s):
            pictures = self.pictures()
            for sample in (self._workers(), self._bot(), await self._servers()):
                for resource, value in sample.items():
                    self.series[resource].append((pictures, value))
            self._ask_for_task_counts()

    def _ask_for_task_counts(self) -> None:
        for pid in self.worker_group.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    def _workers(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for number, pid in self.worker_group.pids().items():
            with suppress(OSError):
                found |= _process(f"worker {number}", pid)
            with suppress(OSError, ValueError):
                tasks = (self.task_counts / str(pid)).read_text()
                found[f"worker {number}: asyncio tasks"] = int(tasks)
        return found

    def _bot(self) -> Mapping[str, float]:
        return _process("bot", os.getpid()) | {"bot: asyncio tasks": len(asyncio.all_tasks())}

    async def _servers(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        with suppress(*_DATABASE_IS_AWAY):
            found["PostgreSQL: connections"] = await self._database_connections()
        with suppress(RedisError, OSError, TimeoutError):
            found |= await self._redis()
        return found

    async def _database_connections(self) -> int:
        connection = await asyncpg.connect(self.database_url, timeout=_TIMEOUT_S)
        try:
            return int(await connection.fetchval(_CONNECTIONS, timeout=_TIMEOUT_S))
        finally:
            await connection.close(timeout=_TIMEOUT_S)

    async def _redis(self) -> Mapping[str, float]:
        async with Redis.from_url(
            self.redis_url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as redis:
            clients: Mapping[str, Any] = await redis.info("clients")
            keyspace: Mapping[str, Any] = await redis.info("keyspace")
        return {
            "Redis: connections": clients["connected_clients"],
            "Redis: keys": sum(each["keys"] for each in keyspace.values()),
        }


def _process(name: str, pid: int) -> dict[str, float]:
    """Read what a process holds. Raises OSError if there is no such process."""
    return {
        f"{name}: memory, MB": rss_mb(pid),
        f"{name}: open files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        f"{name}: threads": sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
    }
