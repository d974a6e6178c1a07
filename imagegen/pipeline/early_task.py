"""Work for a picture that begins before its result is needed."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog

from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

_END_WITHIN_S = 1.0


class EarlyTask(Generic[ResultT]):
    """Runs one piece of work in the background; whoever makes it calls `end`.

    `end_within_s`: how long `end` waits for work that does not end when it is cancelled.
    """

    def __init__(self, *, name: str, end_within_s: float = _END_WITHIN_S) -> None:
        self._name = name
        self._end_within_s = end_within_s
        self._task: asyncio.Task[ResultT] | None = None
        self._is_result_asked = False

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""
        return self._task is not None

    def begin(self, work: Coroutine[Any, Any, ResultT]) -> None:
        """Begin the work; call it once."""
        self._task = asyncio.create_task(work, name=self._name)

    async def result(self) -> ResultT | None:
        """Wait for the work and return its result.

        None if it was not begun, or has raised an ImagegenError: the caller then does it once more,
        and raises what still is wrong.

        Raises:
            Exception: what else the work has raised.
        """
        if self._task is not None:
            self._is_result_asked = True
            with suppress(ImagegenError):
                return await self._task
        return None

    async def end(self) -> None:
        """Cancel the work if it is not done yet, and wait for its end, `end_within_s` at most.

        An exception that is none of ours and that nobody was told of is logged by its name.
        """
        if self._task is None:
            return
        if not self._is_result_asked:
            self._task.add_done_callback(_log_unexpected)
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=self._end_within_s)


def _log_unexpected(task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, ImagegenError):
        # Its text may quote what people wrote.
        log.error("early work failed", task=task.get_name(), error=type(error).__name__)
