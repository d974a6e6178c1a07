"""Work for a picture that begins before its result is needed."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from imagegen.errors import ImagegenError

ResultT = TypeVar("ResultT")


class EarlyTask(Generic[ResultT]):
    """Runs one piece of work in the background; whoever makes it calls `end`."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[ResultT] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""
        return self._task is not None

    def begin(self, work: Coroutine[Any, Any, ResultT]) -> None:
        """Begin the work; call it once."""
        self._task = asyncio.create_task(work, name=self._name)

    async def result(self) -> ResultT | None:
        """Wait for the work and return its result; None if it was not begun, or raised an ImagegenError.

        What went wrong early is then done once more by the caller, who raises what still is wrong.
        """
        if self._task is not None:
            with suppress(ImagegenError):
                return await self._task
        return None

    async def end(self) -> None:
        """Cancel the work if it is not done yet, and wait for its end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # or asyncio would log that nobody has read it
