"""The stop: ends the worker in good order when the system asks, in bounded time and with code 0.

At the first signal no job is taken any more, those that wait go back, and those that work get a
grace. A second one ends the grace, a third one the worker.

arq's own handlers can do none of it. They cancel a job even while arq puts it away, and the worker
then ends in a traceback; they cancel the polling once, which Python 3.11 may lose, and wherever it
is, even where it has just locked a job for an hour; and they wait for Redis, for ever if it is away.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from contextvars import Context
from types import FrameType
from typing import Any, NoReturn, cast

import structlog
from arq.typing import WorkerCoroutine
from arq.worker import Worker

from imagegen.broker import Queue
from imagegen.reach import Reach

log = structlog.get_logger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)
_INSIST_EVERY_S = 0.2
# How long what has ended may take to be put away: Redis or PostgreSQL may be out of reach.
_PUT_AWAY_S = 5.0


class Stop:
    """Knows the jobs of this process, and sends them back to the queue when it is to end."""

    def __init__(self, queue: Queue, *, grace_s: float) -> None:
        self._queue = queue
        self._grace_s = grace_s
        self._jobs: dict[asyncio.Task[Any], Reach] = {}
        self._signals = 0
        self._polling: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Whether the worker has been asked to end."""
        return self._signals > 0

    def reaching(self, job: WorkerCoroutine) -> WorkerCoroutine:
        """Return the job so that a stop reaches it."""

        async def reached(ctx: dict[Any, Any], *args: Any) -> Any:
            if self.is_under_way:  # it was picked up just before
                raise asyncio.CancelledError
            task = _this_task()
            self._jobs[task] = Reach(task)
            try:
                return await job(ctx, *args)
            finally:
                del self._jobs[task]
                self._changed.set()

        return reached

    def listen(self) -> None:
        """Take the signals; until `begin` there is nothing to put in order, and one ends all."""
        for number in _ENDING:
            signal.signal(number, self._heard)

    def begin(self) -> None:
        """From now on there is something to put in order; call it in the task that polls."""
        self._polling = _this_task()

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        try:
            # Later, since what it interrupted may be amid any write, and not in the name of a job.
            asyncio.get_running_loop().call_soon_threadsafe(self._hear, context=Context())
        except RuntimeError:  # no loop runs
            leave()

    def _hear(self) -> None:
        self._signals += 1
        if self._polling is None or self._signals > 2:
            leave()
        elif self._signals == 2:
            log.info("worker stops at once", jobs=len(self._jobs))
            self._changed.set()
        else:
            self._ending = asyncio.create_task(self._end(self._polling), name="stop")
            self._ending.add_done_callback(_leave_if_failed)

    async def _end(self, polling: asyncio.Task[Any]) -> None:
        log.info("worker stops", jobs=len(self._jobs), grace_s=self._grace_s)
        self._queue.shut()
        for reach in self._jobs.values():
            reach.call_back()
        await self._grace()
        asyncio.get_running_loop().call_later(_PUT_AWAY_S, _give_up)
        # Once and not again: what a job does then is to put itself away.
        for task in self._jobs:
            task.cancel()
        await self._put_away()
        while not polling.done():
            polling.cancel()
            await asyncio.wait({polling}, timeout=_INSIST_EVERY_S)

    async def _grace(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
                while self._jobs and self._signals < 2:
                    self._changed.clear()
                    await self._changed.wait()
        if self._jobs:
            log.info("running jobs go back to the queue", jobs=len(self._jobs))

    async def _put_away(self) -> None:
        """Wait until arq neither takes a job nor writes down the end of one."""
        await self._queue.is_quiet.wait()
        while running := [task for task in asyncio.all_tasks() if _is_arqs(task)]:
            await asyncio.wait(running)


def ends_all() -> None:
    """Let a signal end the process at once with code 0, while the worker is not yet made."""
    for number in _ENDING:
        signal.signal(number, lambda *_: leave())


def leave() -> NoReturn:
    """End the process now, whatever it is at."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError, ValueError):
            stream.flush()
    os._exit(0)


def _give_up() -> None:
    # Redis is away, or a job does not hear. The lease finds what was left.
    log.warning("worker leaves its jobs to the next", after_s=_PUT_AWAY_S)
    leave()


def _leave_if_failed(ending: asyncio.Task[None]) -> None:
    if not ending.cancelled() and (error := ending.exception()) is not None:
        log.error("stop failed", error=type(error).__name__)
        leave()


def _is_arqs(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "cr_code", None) is Worker.run_job.__code__


def _this_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())
