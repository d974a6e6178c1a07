"""Plain arq as a contestant."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from arq.connections import ArqRedis, RedisSettings, create_pool

from imagegen.sandbox.servers.process import ServerProcess
from tests.benchmarks.load import contestant
from tests.benchmarks.load.sandbox_fleet import FleetClient
from tests.benchmarks.load.servers import BenchmarkServers

_COMMAND = (sys.executable, "-m", "arq", "tests.benchmarks.baselines.arq_baseline.WorkerSettings")


class ArqContestant:
    """Submits with `enqueue_job`, counts results as arq keeps them."""

    def __init__(
        self, backends: BenchmarkServers, home: Path, fleet: FleetClient, redis: ArqRedis
    ) -> None:
        self.workers: list[ServerProcess] = []
        self._redis = redis
        self._home = home
        self._logs: list[Path] = []
        self._submitted = 0
        self._environment = {
            "REDIS_URL": backends.redis_url,
            "COMFYUI_HOSTS": ",".join(fleet.hosts),
            "TELEGRAM_BOT_TOKEN": fleet.token,
            "TELEGRAM_API_URL": fleet.telegram,
        }

    def start(self) -> None:
        name = f"arq-{len(self.workers)}"
        worker, log = contestant.child(name, self._home, _COMMAND, self._environment)
        self.workers.append(worker)
        self._logs.append(log)

    async def ready(self) -> None:
        for worker, log in zip(self.workers, self._logs, strict=True):
            if worker.is_running:
                await contestant.says(log, "redis_version", worker)

    async def submit(self, count: int) -> None:
        for _ in range(count):
            self._submitted += 1
            await self._redis.enqueue_job("generate", self._submitted)

    async def ended(self) -> int:
        return len(await self._redis.keys("arq:result:*"))


@asynccontextmanager
async def start_with_workers(
    backends: BenchmarkServers, home: Path, fleet: FleetClient
) -> AsyncIterator[ArqContestant]:
    """Run it."""
    redis = await create_pool(RedisSettings.from_dsn(f"{backends.redis_url}/3"))
    arq = ArqContestant(backends, home, fleet, redis)
    with contestant.ending(arq.workers):
        arq.start()
        await arq.ready()
        try:
            yield arq
        finally:
            await redis.aclose()


CONTESTANT = contestant.Contestant(name="plain arq", start_with_workers=start_with_workers)
