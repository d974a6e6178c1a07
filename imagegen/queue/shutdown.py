"""Graceful shutdown: ends the worker in bounded time and with code 0 when the system asks for it.

At the first signal the worker takes no more jobs. A job that only waits (for a slot, for Telegram's
flood limit) goes back to the queue at once; a job that draws or sends may go on for the grace
period. A second signal ends the grace period, a third one ends the process.

arq's own signal handlers cannot do this. They cancel a job even while arq records its end, and the
worker then ends with a traceback. They cancel the polling task only once, which Python 3.11 may
lose, and wherever that task is, even where it has just locked a job. And they wait for Redis,
without end if it is away.
"""

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
from imagegen.queue.job_queue import JobQueue

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCEL_POLLING_EVERY_S = 0.2
# How long the clean-up after the grace period may take: Redis or PostgreSQL may be out of reach.
_CLEAN_UP_S = 5.0

_current_job: ContextVar["JobStop | None"] = ContextVar("job_stop", default=None)


class WorkerStops(Unavailable):
    """The worker ends while the job only waits: another worker takes the job at once."""

    code = "worker_stops"
    level = logging.INFO

    def __init__(self) -> None:
        super().__init__("the worker stops", retry_after_s=0.0)


@contextmanager
def waiting() -> Iterator[None]:
    """Mark a block in which the job only waits, so that a shutdown may interrupt it.

    The block must not post a prompt or send a message: a shutdown would not wait for the answer.
    Outside of a worker's job the block runs as it is.

    Raises:
        WorkerStops: the worker ends; it may be raised before the block begins.
    """
    job = _current_job.get()
    if job is None:
        yield
        return
    with job.waiting():
        yield


class JobStop:
    """Graceful shutdown of one job; made in the task that runs the job."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._is_waiting = False
        self._is_stopped = False
        _current_job.set(self)

    def stop_waiting(self) -> None:
        """Send the job back to the queue if it waits now, or as soon as it begins to wait."""
        self._is_stopped = True
        if self._is_waiting:
            self._task.cancel()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark a block in which this job only waits; see the function `waiting`.

        A cancellation by somebody else stays a CancelledError.

        Raises:
            WorkerStops: `stop_waiting` was called, before or during the block.
        """
        if self._is_stopped:
            raise WorkerStops
        cancellations_before, self._is_waiting = self._task.cancelling(), True
        try:
            yield
        except asyncio.CancelledError:
            if self._is_stopped and self._task.uncancel() <= cancellations_before:
                raise WorkerStops from None
            raise
        finally:
            self._is_waiting = False
        if self._is_stopped:  # a library swallowed the cancellation
            self._task.uncancel()
            raise WorkerStops


class GracefulShutdown:
    """Knows the running jobs of this process, and ends them and arq's worker after a signal."""

    def __init__(self, queue: JobQueue, *, grace_s: float) -> None:
        self._queue = queue
        self._grace_s = grace_s
        self._jobs: dict[asyncio.Task[Any], JobStop] = {}
        self._signal_count = 0
        self._polling_task: asyncio.Task[Any] | None = None
        self._shutdown_task: asyncio.Task[None] | None = None
        # Set when a job has ended, and at the second signal.
        self._changed = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Whether the worker has been asked to end."""
        return self._signal_count > 0

    def job_count(self) -> int:
        """Return how many jobs run."""
        return len(self._jobs)

    def wrap(self, job: WorkerCoroutine) -> WorkerCoroutine:
        """Return the job function for arq, so that a shutdown knows each run of it."""

        async def tracked_job(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
            if self.is_under_way:  # arq took it just before the signal
                raise asyncio.CancelledError
            task = _current_task()
            self._jobs[task] = JobStop(task)
            try:
                return await job(ctx, *args, **kwargs)
            finally:
                del self._jobs[task]
                self._changed.set()

        return tracked_job

    def listen_for_signals(self) -> None:
        """Handle SIGTERM and SIGINT; until `attach_to_arq` is called one of them ends the process."""
        for number in _SIGNALS:
            signal.signal(number, self._receive_signal)

    def attach_to_arq(self) -> None:
        """Shut down gracefully from now on; call it in the task in which arq's worker polls."""
        self._polling_task = _current_task()

    def _receive_signal(self, _number: int, _frame: FrameType | None) -> None:
        try:
            # Not handled here: the interrupted code may be in the middle of any write. The empty
            # context keeps the log lines from carrying the request id of the interrupted job.
            asyncio.get_running_loop().call_soon_threadsafe(self._handle_signal, context=Context())
        except RuntimeError:  # no event loop runs
            exit_now()

    def _handle_signal(self) -> None:
        self._signal_count += 1
        if self._polling_task is None or self._signal_count > 2:
            exit_now()
        elif self._signal_count == 2:
            log.info("worker stops at once", jobs=len(self._jobs))
            self._changed.set()
        else:
            self._shutdown_task = asyncio.create_task(
                self._shut_down(self._polling_task), name="stop"
            )
            self._shutdown_task.add_done_callback(_exit_if_failed)

    async def _shut_down(self, polling_task: asyncio.Task[Any]) -> None:
        log.info("worker stops", jobs=len(self._jobs), grace_s=self._grace_s)
        self._queue.stop_dispatching()
        for job in self._jobs.values():
            job.stop_waiting()
        await self._wait_for_jobs()

        asyncio.get_running_loop().call_later(_CLEAN_UP_S, _give_up)
        # Only once: after it a job puts its request back, which a second one would interrupt.
        for task in self._jobs:
            task.cancel()
        await self._wait_for_arq()

        while not polling_task.done():
            polling_task.cancel()
            await asyncio.wait({polling_task}, timeout=_CANCEL_POLLING_EVERY_S)

    async def _wait_for_jobs(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
                while self._jobs and self._signal_count < 2:
                    self._changed.clear()
                    await self._changed.wait()
        if self._jobs:
            log.info("running jobs go back to the queue", jobs=len(self._jobs))

    async def _wait_for_arq(self) -> None:
        """Wait until arq neither takes a job nor records the end of one."""
        await self._queue.polled_after_stop.wait()
        while job_tasks := [task for task in asyncio.all_tasks() if _is_arq_job(task)]:
            await asyncio.wait(job_tasks)


def install_signal_handlers() -> None:
    """Let a signal end the process at once with code 0, as long as there is no worker yet."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: exit_now())


def exit_now() -> NoReturn:
    """End the process now with code 0; nothing is cleaned up but stdout and stderr flushed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError, ValueError):
            stream.flush()
    os._exit(0)


def _exit_if_failed(shutdown_task: asyncio.Task[None]) -> None:
    if not shutdown_task.cancelled() and (error := shutdown_task.exception()) is not None:
        log.error("stop failed", error=type(error).__name__)
        exit_now()


def _give_up() -> None:
    # Redis is away, or a job ignores its cancellation. Its lease expires, and another worker
    # takes it.
    log.warning("worker leaves its jobs to the next", after_s=_CLEAN_UP_S)
    exit_now()


def _is_arq_job(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "cr_code", None) is Worker.run_job.__code__


def _current_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())
