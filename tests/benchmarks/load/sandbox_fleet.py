"""Controls the process with the hosts and Telegram of a benchmark."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from tests.benchmarks.chaos.sandbox_client import ROOT, SandboxClient
from tests.benchmarks.report.gpu_time import Timeline, timelines

_READY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """How many hosts there are and how long everything takes there, in seconds.

    `jitter` is the share by which drawings differ, `loading_s` what another model set costs.
    `database` is host:port of PostgreSQL if there are to be proxies before it and Telegram.
    """

    hosts: int
    drawing_s: float
    jitter: float = 0.0
    loading_s: float = 0.0
    fetch_s: float = 0.0
    telegram_s: float = 0.0
    seed: int = 1
    database: str = ""
    large: bool = False
    proxies: bool = False

    @property
    def arguments(self) -> list[str]:
        named = {name: value for name, value in vars(self).items() if value is not False}
        flags = [f"--{name}" for name, value in named.items() if value is True]
        rest = {name: value for name, value in named.items() if value is not True}
        return [*flags, *(f"--{name.replace('_', '-')}={value}" for name, value in rest.items())]


@dataclass(frozen=True, kw_only=True)
class FleetClient(SandboxClient):
    """The client of that process; `pid` is its number."""

    pid: int
    options: FleetOptions = field(default_factory=lambda: FleetOptions(hosts=0, drawing_s=0))

    async def arrived(self) -> int:
        """Return how many pictures are in the chats."""
        return int((await self.traffic())["count"])

    async def traffic(self) -> dict[str, Any]:
        """Return how many pictures and calls Telegram got, and what passed through the proxies."""
        async with self.session.get(f"{self.control}/arrivals") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def timelines(self) -> list[Timeline]:
        return timelines(await self.record())


@asynccontextmanager
async def open_fleet(directory: Path, options: FleetOptions) -> AsyncIterator[FleetClient]:
    """Run the process with its log in `directory` while the block runs."""
    launch = LaunchCommand(
        name="hosts",
        directory=directory,
        command=[
            sys.executable,
            "-m",
            "tests.benchmarks.load.fleet_process",
            *options.arguments,
        ],
        environment={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    child = ServerProcess(launch)
    try:
        child.wait_until(lambda: _addresses(launch.log) is not None, timeout_s=_READY_S)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield FleetClient(
                session=session,
                pid=child.pid,
                options=options,
                **(_addresses(launch.log) or {}),
            )
    finally:
        child.kill()


def _addresses(log: Path) -> dict[str, Any] | None:
    lines = [line for line in log.read_text().splitlines() if line.startswith('{"control"')]
    return json.loads(lines[0]) if lines else None
