"""Controls the process with the simulated hosts and Telegram."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess

ROOT = Path(__file__).parents[3]
_PROGRAM = "tests.benchmarks.chaos.sandbox_process"
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class SandboxClient:
    """The addresses of hosts and Telegram, and the control server that breaks and heals them.

    `database` is host:port of the proxy before PostgreSQL; Telegram is behind a proxy too.
    """

    hosts: Sequence[str]
    telegram: str
    database: str
    token: str
    control: str
    session: aiohttp.ClientSession

    async def do(self, target: str, action: str, detail: str = "") -> None:
        """Send an action for `telegram`, `hosts/2` or `network/database`; see sandbox_process.py."""
        async with self.session.post(f"{self.control}/{target}/{action}", data=detail) as answer:
            answer.raise_for_status()

    async def record(self) -> dict[str, Any]:
        """Return what Telegram and the hosts have recorded."""
        async with self.session.get(f"{self.control}/record") as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def calm(self) -> None:
        """Remove all scripted faults that have not happened yet."""
        await self.do("telegram", "calm")
        for number in range(len(self.hosts)):
            await self.do(f"hosts/{number}", "calm")

    def database_url(self, url: str) -> str:
        """Return PostgreSQL's URL with the address of its proxy."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{account}@{self.database}").geturl()


@asynccontextmanager
async def running_sandbox(
    directory: Path, *, hosts: int, seconds_per_picture: float, seed: int, database_url: str
) -> AsyncIterator[SandboxClient]:
    """Run the process during the block, with its log in `directory`."""
    launch = LaunchCommand(
        name="sandbox",
        directory=directory,
        command=[
            *(sys.executable, "-m", _PROGRAM, "--hosts", str(hosts), "--seed", str(seed)),
            *("--seconds-per-picture", str(seconds_per_picture)),
            *("--database", urlsplit(database_url).netloc.rpartition("@")[2]),
        ],
        environment={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    child = ServerProcess(launch)
    try:
        child.wait_until(lambda: _addresses(launch.log) is not None, timeout_s=_START_TIMEOUT_S)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield SandboxClient(session=session, **(_addresses(launch.log) or {}))
    finally:
        child.kill()


def _addresses(log: Path) -> dict[str, Any] | None:
    lines = [line for line in log.read_text().splitlines() if line.startswith('{"control"')]
    return json.loads(lines[0]) if lines else None
