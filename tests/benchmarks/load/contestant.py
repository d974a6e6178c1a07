"""A contestant: a system that draws the submitted pictures, with workers as its own processes."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from tests.benchmarks.chaos.sandbox_client import ROOT
from tests.benchmarks.load.sandbox_fleet import FleetClient
from tests.benchmarks.load.servers import BenchmarkServers

_READY_S = 60.0
_LOOK_EVERY_S = 0.25


class RunningContestant(Protocol):
    """Takes submissions and tells what became of them; `workers` are its processes."""

    workers: list[ServerProcess]

    async def submit(self, count: int) -> None: ...

    async def ended(self) -> int:
        """Return how many are over, whether they went well or not."""
        ...

    def start(self) -> None:
        """Start one more worker; returns before it is ready."""
        ...

    async def ready(self) -> None:
        """Return once all workers are."""
        ...


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A system to measure: `start_with_workers(backends, home, fleet)` runs it during a block."""

    name: str
    start_with_workers: Callable[
        [BenchmarkServers, Path, FleetClient], AbstractAsyncContextManager[RunningContestant]
    ]


def child(
    name: str, home: Path, command: Sequence[str], environment: Mapping[str, str]
) -> tuple[ServerProcess, Path]:
    """Start a worker with its log in `home`; return it and the log."""
    launch = LaunchCommand(
        name=name,
        directory=home,
        command=command,
        environment={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
    )
    return ServerProcess(launch), launch.log


async def says(log: Path, words: str, worker: ServerProcess) -> None:
    """Wait until a log has these words.

    Raises:
        RuntimeError: the worker ended before.
        TimeoutError: it took too long.
    """
    async with asyncio.timeout(_READY_S):
        while words not in log.read_text(errors="replace"):
            if not worker.is_running:
                raise RuntimeError(f"a worker ended at its start: {worker.last_words()}")
            await asyncio.sleep(0.02)


async def all_ended(
    contestant: RunningContestant, count: int, *, patience_s: float, quiet_s: float = 1e9
) -> float:
    """Wait for the end of so many, return how long that took, in s.

    Gives up after `patience_s`, or when nothing ended for `quiet_s`.
    """
    began = changed = time.monotonic()
    before = -1
    while (ended := await contestant.ended()) < count:
        now = time.monotonic()
        if ended != before:
            before, changed = ended, now
        if now - began > patience_s or now - changed > quiet_s:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


@contextmanager
def ending(workers: list[ServerProcess]) -> Iterator[None]:
    """End all workers after the block, those too that came during it."""
    try:
        yield
    finally:
        for each in workers:
            each.end(signal.SIGTERM, timeout_s=8)
