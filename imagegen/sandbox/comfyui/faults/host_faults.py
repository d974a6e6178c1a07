"""The faults of a whole host: it restarts, it freezes and thaws."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import structlog

from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.sandbox.comfyui.faults.script import FaultScript

log = structlog.get_logger(__name__)

# Jitter of `every` as a share of it, so that several hosts do not fail at the same time.
_SPREAD = 0.5


class HostFaults:
    """Runs the faults that take time, each as a task; `end` stops them and waits for them.

    `is_up` is set while the host runs and is not about to restart.
    """

    def __init__(
        self,
        script: FaultScript,
        *,
        stop: Callable[[], Awaitable[None]],
        start: Callable[[], Awaitable[None]],
        freeze: Callable[[], None],
        thaw: Callable[[], None],
    ) -> None:
        self._script = script
        self._stop, self._start, self._freeze, self._thaw = stop, start, freeze, thaw
        self._tasks: set[asyncio.Task[None]] = set()
        self._recurring: list[Fault] = []
        self._ending = asyncio.Event()
        self._is_restarting = False
        self._failures: list[BaseException] = []
        self.is_up = asyncio.Event()

    def begin(self) -> None:
        """Start the faults that recur every so many seconds; may be called more than once."""
        self._ending.clear()
        for fault in self._script.waiting:
            if fault.every is not None and not any(
                fault is recurring for recurring in self._recurring
            ):
                self._recurring.append(fault)
                self._spawn(self._recur(fault), f"{fault} recurs")

    async def end(self) -> None:
        """Stop all tasks; a dead host stays dead, a frozen one frozen.

        Raises:
            SandboxError: the host could not be started again after a restart, its port was taken.
        """
        self._ending.set()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._recurring.clear()
        if self._failures:
            raise self._failures.pop()

    def restart(self, fault: Fault) -> None:
        """Stop the host, and start it again after the fault's seconds."""
        if not self._is_restarting:
            self._is_restarting = True
            self.is_up.clear()
            self._spawn(self._stop_and_start(fault.lasts_s), "the host restarts")

    def freeze(self, fault: Fault) -> None:
        """Freeze the host, and thaw it after the fault's seconds if it has any."""
        self._freeze()
        if fault.lasts_s is not None:
            self._spawn(self._thaw_after(fault.lasts_s), "the host thaws")

    async def _stop_and_start(self, seconds: float | None) -> None:
        try:
            await self._stop()
            await self._pause(seconds)
            if not self._ending.is_set():
                await self._start()
        finally:
            self._is_restarting = False
        if not self._ending.is_set():
            self.begin()

    async def _thaw_after(self, seconds: float) -> None:
        await self._pause(seconds)
        self._thaw()

    async def _recur(self, fault: Fault) -> None:
        while self._script.is_pending(fault):
            spread = self._script.random.uniform(1 - _SPREAD, 1 + _SPREAD)
            await self._pause((fault.every or 0.0) * spread)
            if self._ending.is_set():
                return
            # What is down already does not fail; the fault has its next occasion.
            if not self._is_restarting and self._script.take_exactly(fault):
                (self.restart if fault.kind is FaultKind.RESTART else self.freeze)(fault)

    async def _pause(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("sandbox comfyui stays dead", why=str(failure))
            self._failures.append(failure)
