"""Graceful shutdown: what waits goes back to the queue, what works gets a grace."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any, NoReturn, cast

import structlog
from arq.typing import WorkerCoroutine
from arq.worker import Worker

from imagegen.errors import Unavailable
from imagegen.queue.connections import JobQueue

_present: ContextVar["JobStop | None"] = ContextVar("job_stop", default=None)


class WorkerStops(Unavailable):
    """The worker ends before the job has begun anything: another one takes it at once."""

    code = "worker_stops"
    level = logging.INFO

    def __init__(self) -> None:
        super().__init__("the worker stops", retry_after_s=0.0)


@contextmanager
def waiting() -> Iterator[None]:
    """Let a stop end the block, which only waits: it then raises WorkerStops.

    Nothing may be posted or sent that an earlier stop would not have known of.
    """
    reach = _present.get()
    if reach is None:  # nobody stops a job that runs outside of a worker
        yield
        return
    with reach.waiting():
        yield


class JobStop:
    """One job, in the task that makes it."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._is_waiting = False
        self._is_called = False
        _present.set(self)

    def stop_waiting(self) -> None:
        """Send the job back if it waits, now or later."""
        self._is_called = True
        if self._is_waiting:
            self._task.cancel()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """See the function of this name."""
        if self._is_called:
            raise WorkerStops
        before, self._is_waiting = self._task.cancelling(), True
        try:
            yield
        except asyncio.CancelledError:
            if self._is_called and self._task.uncancel() <= before:
                raise WorkerStops from None
            raise
        finally:
            self._is_waiting = False
        if self._is_called:  # a library swallowed it
            self._task.uncancel()
            raise WorkerStops


log = structlog.get_logger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)
_INSIST_EVERY_S = 0.2
# How long what has ended may take to be put away: Redis or PostgreSQL may be out of reach.
_PUT_AWAY_S = 5.0


class GracefulShutdown:
    """Knows the jobs of this process, and sends them back to the queue when it is to end."""

    def __init__(self, queue: JobQueue, *, grace_s: float) -> None:
        self._queue = queue
        self._grace_s = grace_s
        self._jobs: dict[asyncio.Task[Any], JobStop] = {}
        self._signals = 0
        self._polling: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Whether the worker has been asked to end."""
        return self._signals > 0

    def wrap(self, job: WorkerCoroutine) -> WorkerCoroutine:
        """Return the job so that a stop reaches it."""

        async def reached(ctx: dict[Any, Any], *args: Any) -> Any:
            if self.is_under_way:  # it was picked up just before
                raise asyncio.CancelledError
            task = _this_task()
            self._jobs[task] = JobStop(task)
            try:
                return await job(ctx, *args)
            finally:
                del self._jobs[task]
                self._changed.set()

        return reached

    def listen_for_signals(self) -> None:
        """Take the signals; until `begin` there is nothing to put in order, and one ends all."""
        for number in _ENDING:
            signal.signal(number, self._on_early_signal)

    def attach_to_arq(self) -> None:
        """From now on there is something to put in order; call it in the task that polls."""
        self._polling = _this_task()

    def _on_early_signal(self, _number: int, _frame: FrameType | None) -> None:
        try:
            # Later, since what it interrupted may be amid any write, and not in the name of a job.
            asyncio.get_running_loop().call_soon_threadsafe(self._on_signal, context=Context())
        except RuntimeError:  # no loop runs
            exit_now()

    def _on_signal(self) -> None:
        self._signals += 1
        if self._polling is None or self._signals > 2:
            exit_now()
        elif self._signals == 2:
            log.info("worker stops at once", jobs=len(self._jobs))
            self._changed.set()
        else:
            self._ending = asyncio.create_task(self._end(self._polling), name="stop")
            self._ending.add_done_callback(_leave_if_failed)

    async def _end(self, polling: asyncio.Task[Any]) -> None:
        log.info("worker stops", jobs=len(self._jobs), grace_s=self._grace_s)
        self._queue.stop_retrying()
        for reach in self._jobs.values():
            reach.stop_waiting()
        await self._wait_for_jobs()
        asyncio.get_running_loop().call_later(_PUT_AWAY_S, _give_up)
        # Once and not again: what a job does then is to put itself away.
        for task in self._jobs:
            task.cancel()
        await self._return_jobs()
        while not polling.done():
            polling.cancel()
            await asyncio.wait({polling}, timeout=_INSIST_EVERY_S)

    async def _wait_for_jobs(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
                while self._jobs and self._signals < 2:
                    self._changed.clear()
                    await self._changed.wait()
        if self._jobs:
            log.info("running jobs go back to the queue", jobs=len(self._jobs))

    async def _return_jobs(self) -> None:
        """Wait until arq neither takes a job nor writes down the end of one."""
        await self._queue.is_quiet.wait()
        while running := [task for task in asyncio.all_tasks() if _is_arqs(task)]:
            await asyncio.wait(running)


def install_signal_handlers() -> None:
    """Let a signal end the process at once with code 0, while the worker is not yet made."""
    for number in _ENDING:
        signal.signal(number, lambda *_: exit_now())


def exit_now() -> NoReturn:
    """End the process now, whatever it is at."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError, ValueError):
            stream.flush()
    os._exit(0)


def _give_up() -> None:
    # Redis is away, or a job does not hear. The lease finds what was left.
    log.warning("worker leaves its jobs to the next", after_s=_PUT_AWAY_S)
    exit_now()


def _leave_if_failed(ending: asyncio.Task[None]) -> None:
    if not ending.cancelled() and (error := ending.exception()) is not None:
        log.error("stop failed", error=type(error).__name__)
        exit_now()


def _is_arqs(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "cr_code", None) is Worker.run_job.__code__


def _this_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())
