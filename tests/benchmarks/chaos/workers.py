"""Real workers as processes: started, killed, frozen, replaced and watched."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from tests.benchmarks.chaos import clock
from tests.benchmarks.chaos.evidence import WorkerFault

_ARQ = (sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings")
_READY_S = 60.0
_POLL_INTERVAL_S = 0.2
# Longer than STOP_GRACE, after which a worker that got SIGTERM ends.
_STOP_S = 40.0


class WorkerProcess(Protocol):
    """What the group does with a worker's process."""

    @property
    def pid(self) -> int: ...

    @property
    def is_running(self) -> bool: ...

    def last_words(self) -> str: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None: ...

    def kill(self) -> None: ...


class WorkerGroup:
    """`count` workers by number; one that ends by itself is recorded and started again.

    The log of a worker has its name, which ends with the offset of its clock if that is wrong.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        count: int,
        start: Callable[[LaunchCommand], WorkerProcess] = ServerProcess,
        command: Sequence[str] = _ARQ,
    ) -> None:
        self.worker_faults: list[WorkerFault] = []
        self._directory = directory
        self._environment = environment
        self._count = count
        self._start = start
        self._command = command
        self._processes: dict[int, WorkerProcess] = {}
        self._generations: dict[int, int] = dict.fromkeys(range(count), 0)
        self._clock_offsets_s: dict[int, int] = dict.fromkeys(range(count), 0)
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

    @property
    def numbers(self) -> range:
        return range(self._count)

    def pids(self) -> dict[int, int]:
        """Return the process of each worker that runs, by the worker's number."""
        return {number: child.pid for number, child in self._processes.items()}

    def start(self, number: int) -> None:
        """Start that worker; does nothing if it runs."""
        if number in self._processes:
            return
        self._generations[number] += 1
        offset_s = self._clock_offsets_s[number]
        # A forked process could not load a library before all others.
        start = ServerProcess if offset_s else self._start
        self._processes[number] = start(
            LaunchCommand(
                name=self._name(number),
                directory=self._directory,
                command=self._command,
                environment={
                    "PATH": os.environ["PATH"],
                    **self._environment,
                    **clock.environment(offset_s),
                },
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

    def replace(self, number: int, *, clock_offset_s: int = 0) -> None:
        """Stop the worker with SIGTERM and start a new one at once, as a deployment does.

        The clock of the new one is so many seconds ahead.
        """
        self._stop_in_background(number)
        self._clock_offsets_s[number] = clock_offset_s
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
        offset_s = self._clock_offsets_s[number]
        return f"worker-{number}.{self._generations[number]}{f'{offset_s:+d}s' if offset_s else ''}"

    def _log(self, number: int) -> Path:
        return self._directory / f"{self._name(number)}.log"
