"""Plain arq as a team."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from arq.connections import ArqRedis, RedisSettings, create_pool

from imagegen.sandbox.servers.process import ServerProcess
from tests.benchmarks.load import contestant
from tests.benchmarks.load.hosts import Fleet
from tests.benchmarks.load.servers import Ground

_COMMAND = (sys.executable, "-m", "arq", "tests.benchmarks.baselines.arq_baseline.WorkerSettings")


class ArqTeam:
    """Submits with `enqueue_job`, counts results as arq keeps them."""

    def __init__(self, ground: Ground, home: Path, fleet: Fleet, redis: ArqRedis) -> None:
        self.workers: list[ServerProcess] = []
        self._redis = redis
        self._home = home
        self._logs: list[Path] = []
        self._submitted = 0
        self._environment = {
            "REDIS_URL": ground.redis_url,
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
async def at_work(ground: Ground, home: Path, fleet: Fleet) -> AsyncIterator[ArqTeam]:
    """Run it."""
    redis = await create_pool(RedisSettings.from_dsn(f"{ground.redis_url}/3"))
    arq = ArqTeam(ground, home, fleet, redis)
    with contestant.ending(arq.workers):
        arq.start()
        await arq.ready()
        try:
            yield arq
        finally:
            await redis.aclose()


CONTESTANT = contestant.Contestant(name="plain arq", at_work=at_work)
