"""Our product as a contestant: the real hook asks, real arq workers draw."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from chatflow_hook import ChatFlowHook, Request
from imagegen.sandbox.servers.process import ServerProcess
from tests.benchmarks.load import contestant
from tests.benchmarks.load.sandbox_fleet import FleetClient
from tests.benchmarks.load.servers import BenchmarkServers
from tests.support import conversations

ARQ = (sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings")
PERSONAS = ("ash", "julie", "lina", "marriana", "may", "stacy", "taya", "una")
_AT_ONCE = 8
_ENDED = """
    SELECT count(*) FROM image_requests
    WHERE state NOT IN ('queued', 'drawing', 'drawn', 'delivering')
"""


class OurWorker:
    """Each submitted picture belongs to a dialog of its own; all have one persona."""

    def __init__(
        self,
        backends: BenchmarkServers,
        home: Path,
        fleet: FleetClient,
        *,
        command: Sequence[str] = ARQ,
        **settings: str,
    ) -> None:
        self.workers: list[ServerProcess] = []
        self.requests: list[Request] = []
        self.hook = ChatFlowHook(
            conversations.hook_settings(
                backends.database_url, backends.redis_url, image_trigger_min=1, image_trigger_max=1
            )
        )
        self._home = home
        self._command = command
        self._environment = environment(backends, home, fleet, **settings)
        self._logs: list[Path] = []
        self._database_url = backends.database_url
        self._connection: asyncpg.Connection | None = None

    def start(self) -> None:
        name = f"worker-{len(self.workers)}"
        worker, log = contestant.child(name, self._home, self._command, self._environment)
        self.workers.append(worker)
        self._logs.append(log)

    async def ready(self) -> None:
        for worker, log in zip(self.workers, self._logs, strict=True):
            if worker.is_running:
                await contestant.says(log, '"worker ready"', worker)

    def pictures_of_each(self) -> list[int]:
        """Return how many pictures each worker has drawn, by its log."""
        return [log.read_text(errors="replace").count('"picture drawn"') for log in self._logs]

    async def submit(self, count: int) -> None:
        await self.ask(list(range(len(self.requests) + 1, len(self.requests) + count + 1)))

    async def ask(self, dialogs: list[int], **changes: Any) -> None:
        """Say one message in each dialog, which makes a picture due; its caption is the dialog."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def say(dialog_id: int) -> None:
            said: dict[str, Any] = {"persona": "lina", "caption": str(dialog_id), **changes}
            async with gate:
                request = await self.hook.on_turn(conversations.turn(dialog_id, **said))
            if request is None:
                raise RuntimeError("a picture was due, and none was asked for")
            self.requests.append(request)

        await asyncio.gather(*map(say, dialogs))

    async def ended(self) -> int:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._database_url)
        return int(await self._connection.fetchval(_ENDED))

    async def rows(self, query: str) -> list[asyncpg.Record]:
        await self.ended()
        assert self._connection is not None
        found: list[asyncpg.Record] = await self._connection.fetch(query)
        return found

    async def close(self) -> None:
        await self.hook.close()
        if self._connection is not None:
            await self._connection.close()


def environment(
    backends: BenchmarkServers, home: Path, fleet: FleetClient, **settings: str
) -> Mapping[str, str]:
    """Return what a worker needs to be told; all else is as by default."""
    return {
        "DATABASE_URL": backends.database_url,
        "REDIS_URL": backends.redis_url,
        "COMFYUI_HOSTS": ",".join(fleet.hosts),
        "TELEGRAM_BOT_TOKEN": fleet.token,
        "TELEGRAM_API_URL": fleet.telegram,
        "IMAGE_STORE": (home / "images").absolute().as_uri(),
        "WEB_PORT": "0",
        **settings,
    }


@asynccontextmanager
async def start_without_workers(
    backends: BenchmarkServers,
    home: Path,
    fleet: FleetClient,
    *,
    command: Sequence[str] = ARQ,
    **settings: str,
) -> AsyncIterator[OurWorker]:
    """Open the hook, with no worker yet; those that are started end with the block."""
    ours = OurWorker(backends, home, fleet, command=command, **settings)
    with contestant.ending(ours.workers):
        try:
            yield ours
        finally:
            await ours.close()


@asynccontextmanager
async def start_with_workers(
    backends: BenchmarkServers,
    home: Path,
    fleet: FleetClient,
    *,
    command: Sequence[str] = ARQ,
    **settings: str,
) -> AsyncIterator[OurWorker]:
    """Run one worker with default settings but for these."""
    async with start_without_workers(backends, home, fleet, command=command, **settings) as ours:
        ours.start()
        await ours.ready()
        yield ours


CONTESTANT = contestant.Contestant(name="imagegen", start_with_workers=start_with_workers)
