"""Real workers as processes: started, killed, frozen, replaced and watched."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from tests.benchmarks.chaos.evidence import WorkerFault

_ARQ = (sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings")
_READY_S = 60.0
_POLL_INTERVAL_S = 0.2
# Longer than STOP_GRACE, after which a worker that got SIGTERM ends.
_STOP_S = 40.0


class WorkerProcess(Protocol):
    """What the group does with a worker's process."""

    @property
    def is_running(self) -> bool: ...

    def last_words(self) -> str: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None: ...

    def kill(self) -> None: ...


class WorkerGroup:
    """`count` workers by number; one that ends by itself is recorded and started again."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        count: int,
        start: Callable[[LaunchCommand], WorkerProcess] = ServerProcess,
    ) -> None:
        self.worker_faults: list[WorkerFault] = []
        self._directory = directory
        self._environment = environment
        self._count = count
        self._start = start
        self._processes: dict[int, WorkerProcess] = {}
        self._generations: dict[int, int] = dict.fromkeys(range(count), 0)
        self._stopping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all workers during the block; at its end they shut down in an orderly way."""
        for number in range(self._count):
            self.start(number)
        watch = asyncio.create_task(self._watch(), name="worker watch")
        try:
            await self._all_ready()
            yield
        finally:
            watch.cancel()
            await asyncio.wait({watch})
            for number in list(self._processes):
                self._stop_in_background(number)
            await asyncio.gather(*self._stopping)

    def start(self, number: int) -> None:
        """Start that worker; does nothing if it runs."""
        if number in self._processes:
            return
        self._generations[number] += 1
        self._processes[number] = self._start(
            LaunchCommand(
                name=self._name(number),
                directory=self._directory,
                command=_ARQ,
                environment={"PATH": os.environ["PATH"], **self._environment},
            )
        )

    def kill(self, number: int) -> None:
        """End the worker as `kill -9` does; it is not started again."""
        if (child := self._processes.pop(number, None)) is not None:
            child.kill()

    def freeze(self, number: int) -> None:
        if (child := self._processes.get(number)) is not None:
            child.freeze()

    def thaw(self, number: int) -> None:
        if (child := self._processes.get(number)) is not None:
            child.thaw()

    def replace(self, number: int) -> None:
        """Stop the worker with SIGTERM and start a new one at once, as a deployment does."""
        self._stop_in_background(number)
        self.start(number)

    def _stop_in_background(self, number: int) -> None:
        name, child = self._name(number), self._processes.pop(number, None)
        if child is not None:
            task = asyncio.create_task(self._stop(name, child), name=f"{name} leaves")
            self._stopping.add(task)

    async def _stop(self, name: str, child: WorkerProcess) -> None:
        began = time.monotonic()
        await asyncio.to_thread(child.end, signal.SIGTERM, timeout_s=_STOP_S)
        if time.monotonic() - began >= _STOP_S:
            self._report_fault(name, f"did not stop within {_STOP_S:g} s")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_INTERVAL_S)
            for number, child in list(self._processes.items()):
                if not child.is_running:
                    self._restart_ended(number)

    def _restart_ended(self, number: int) -> None:
        name, child = self._name(number), self._processes.pop(number)
        # A worker that gives up before it is ready is started again, as any supervisor does.
        if "worker ready" in self._log(number).read_text():
            self._report_fault(name, f"ended by itself: {child.last_words()}")
        child.end(signal.SIGTERM)
        self.start(number)

    async def _all_ready(self) -> None:
        async with asyncio.timeout(_READY_S):
            while True:
                if all(
                    "worker ready" in self._log(number).read_text() for number in self._processes
                ):
                    return
                await asyncio.sleep(_POLL_INTERVAL_S)

    def _report_fault(self, name: str, what: str) -> None:
        self.worker_faults.append(WorkerFault(worker=name, what=what))

    def _name(self, number: int) -> str:
        return f"worker-{number}.{self._generations[number]}"

    def _log(self, number: int) -> Path:
        return self._directory / f"{self._name(number)}.log"
