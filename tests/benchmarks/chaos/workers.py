"""The crew: real workers as processes, started, killed, frozen, replaced, and watched."""

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
from tests.benchmarks.chaos.evidence import Complaint

_ARQ = (sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings")
_READY_S = 60.0
_LOOK_EVERY_S = 0.2
# Longer than the longest grace of a worker that is told to stop.
_STOP_S = 40.0


class WorkerChild(Protocol):
    """What the crew does with a worker's process."""

    @property
    def is_running(self) -> bool: ...

    def last_words(self) -> str: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None: ...

    def kill(self) -> None: ...


class Crew:
    """So many posts, a worker at each; a worker that falls unasked is noted and replaced."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        posts: int,
        start: Callable[[LaunchCommand], WorkerChild] = ServerProcess,
    ) -> None:
        self.complaints: list[Complaint] = []
        self._directory = directory
        self._environment = environment
        self._posts = posts
        self._start = start
        self._at: dict[int, WorkerChild] = {}
        self._lives: dict[int, int] = dict.fromkeys(range(posts), 0)
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Have a worker at each post while the block runs; at its end they stop in good order."""
        for post in range(self._posts):
            self.begin(post)
        watch = asyncio.create_task(self._watch(), name="watch over the crew")
        try:
            await self._all_ready()
            yield
        finally:
            watch.cancel()
            await asyncio.wait({watch})
            for post in list(self._at):
                self._dismiss(post)
            await asyncio.gather(*self._leaving)

    def begin(self, post: int) -> None:
        """Put a new worker there; nothing happens if there is one."""
        if post in self._at:
            return
        self._lives[post] += 1
        self._at[post] = self._start(
            LaunchCommand(
                name=self._name(post),
                directory=self._directory,
                command=_ARQ,
                environment={"PATH": os.environ["PATH"], **self._environment},
            )
        )

    def kill(self, post: int) -> None:
        """End the worker as `kill -9` does, and leave its post empty."""
        if (child := self._at.pop(post, None)) is not None:
            child.kill()

    def freeze(self, post: int) -> None:
        if (child := self._at.get(post)) is not None:
            child.freeze()

    def thaw(self, post: int) -> None:
        if (child := self._at.get(post)) is not None:
            child.thaw()

    def replace(self, post: int) -> None:
        """Tell the worker to stop, and put a new one there at once, as a deployment does."""
        self._dismiss(post)
        self.begin(post)

    def _dismiss(self, post: int) -> None:
        name, child = self._name(post), self._at.pop(post, None)
        if child is not None:
            task = asyncio.create_task(self._see_off(name, child), name=f"{name} leaves")
            self._leaving.add(task)

    async def _see_off(self, name: str, child: WorkerChild) -> None:
        began = time.monotonic()
        await asyncio.to_thread(child.end, signal.SIGTERM, timeout_s=_STOP_S)
        if time.monotonic() - began >= _STOP_S:
            self._complain(name, f"did not stop within {_STOP_S:g} s")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for post, child in list(self._at.items()):
                if not child.is_running:
                    self._fell(post)

    def _fell(self, post: int) -> None:
        name, child = self._name(post), self._at.pop(post)
        # One that gives up before it has begun to work is started again, as by any supervisor.
        if "worker ready" in self._log(post).read_text():
            self._complain(name, f"ended by itself: {child.last_words()}")
        child.end(signal.SIGTERM)
        self.begin(post)

    async def _all_ready(self) -> None:
        async with asyncio.timeout(_READY_S):
            while True:
                if all("worker ready" in self._log(post).read_text() for post in self._at):
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    def _complain(self, name: str, what: str) -> None:
        self.complaints.append(Complaint(worker=name, what=what))

    def _name(self, post: int) -> str:
        return f"worker-{post}.{self._lives[post]}"

    def _log(self, post: int) -> Path:
        return self._directory / f"{self._name(post)}.log"
