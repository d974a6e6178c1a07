"""Celery as a contestant: one worker of two processes, as in the service that we replace."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from imagegen.sandbox.servers.process import ServerProcess
from tests.benchmarks.load import contestant
from tests.benchmarks.load.sandbox_fleet import FleetClient
from tests.benchmarks.load.servers import BenchmarkServers

_COMMAND = (
    *(sys.executable, "-m", "celery", "-A", "tests.benchmarks.baselines.celery_baseline", "worker"),
    *("--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO"),
)
_SUBMIT = "import sys; from tests.benchmarks.baselines.celery_baseline import generate"
_EACH = "[generate.delay(n) for n in range(int(sys.argv[1]), int(sys.argv[2]))]"
_SUBMIT_S = 60.0


class CeleryContestant:
    """Submits with `delay`, counts results in the backend."""

    def __init__(
        self, backends: BenchmarkServers, home: Path, fleet: FleetClient, *, poll_s: float
    ) -> None:
        self.workers: list[ServerProcess] = []
        self._home = home
        self._logs: list[Path] = []
        self._submitted = 0
        self._environment = {
            "REDIS_URL": backends.redis_url,
            "COMFYUI_HOSTS": ",".join(fleet.hosts),
            "TELEGRAM_BOT_TOKEN": fleet.token,
            "TELEGRAM_API_URL": fleet.telegram,
            "POLL_S": str(poll_s),
            # Celery warns of root; the benchmark's account is none of its business.
            "C_FORCE_ROOT": "1",
            "HOME": os.environ.get("HOME", "/"),
        }
        self._results = Redis.from_url(backends.redis_url, db=4)

    def start(self) -> None:
        number = len(self.workers)
        command = [*_COMMAND, "--hostname", f"celery-{number}@%h"]
        worker, log = contestant.child(f"celery-{number}", self._home, command, self._environment)
        self.workers.append(worker)
        self._logs.append(log)

    async def ready(self) -> None:
        for worker, log in zip(self.workers, self._logs, strict=True):
            if worker.is_running:
                await contestant.says(log, " ready.", worker)

    async def submit(self, count: int) -> None:
        first, last = self._submitted + 1, self._submitted + count + 1
        command = [sys.executable, "-c", f"{_SUBMIT}; {_EACH}", str(first), str(last)]
        bot, _ = contestant.child(f"bot-{first}", self._home, command, self._environment)
        bot.wait(timeout_s=_SUBMIT_S)
        self._submitted += count

    async def ended(self) -> int:
        return len(await self._results.keys("celery-task-meta-*"))

    async def close(self) -> None:
        await self._results.aclose()


@asynccontextmanager
async def start_with_workers(
    backends: BenchmarkServers, home: Path, fleet: FleetClient, *, poll_s: float
) -> AsyncIterator[CeleryContestant]:
    """Run it, looking at /history every `poll_s` seconds."""
    celery = CeleryContestant(backends, home, fleet, poll_s=poll_s)
    with contestant.ending(celery.workers):
        celery.start()
        await celery.ready()
        try:
            yield celery
        finally:
            await celery.close()


SLOW = contestant.Contestant(
    name="Celery, poll 2 s", start_with_workers=partial(start_with_workers, poll_s=2.0)
)
QUICK = contestant.Contestant(
    name="Celery, poll 0.2 s", start_with_workers=partial(start_with_workers, poll_s=0.2)
)
