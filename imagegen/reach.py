"""Reach: how a stop gets at one job. What only waits is sent back, what works is let be."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from imagegen.errors import Unavailable

_present: ContextVar["Reach | None"] = ContextVar("reach", default=None)


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


class Reach:
    """One job, in the task that makes it."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._is_waiting = False
        self._is_called = False
        _present.set(self)

    def call_back(self) -> None:
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
