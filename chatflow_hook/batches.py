"""Handles what comes at the same time together: one by one while there is room, the rest in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Batches(Generic[ItemT, ResultT]):
    """Gives items to `handle`, which returns a result for each item of a batch, in their order.

    A result that is an exception is raised to the item's caller. At most `at_once` batches are handled at the same time, each of at most `most` items. Nothing
    waits for a batch to become full. For one event loop.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        at_once: int,
        most: int,
    ) -> None:
        self._handle = handle
        self._at_once = at_once
        self._most = most
        self._waiting: dict[asyncio.Future[ResultT], ItemT] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # A task that has not taken its batch yet; it takes what comes until then.
        self._is_starting = False

    async def result(self, item: ItemT) -> ResultT:
        """Return the result of an item.

        If the caller is cancelled, an item that still waits is dropped; a batch under way goes on.

        Raises:
            Exception: what `handle` has raised for the item's batch, or returned for the item.
        """
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting[future] = item
        self._start_next()
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    def cancel(self) -> None:
        """Cancel all who wait, and the batches under way."""
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    def _start_next(self) -> None:
        if self._waiting and not self._is_starting and len(self._tasks) < self._at_once:
            self._is_starting = True
            task = asyncio.create_task(self._run(), name="chatflow_hook batch")
            self._tasks.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before it had begun
            self._is_starting = False
        self._start_next()

    async def _run(self) -> None:
        self._is_starting = False
        futures = [*islice(self._waiting, self._most)]
        if not futures:  # whoever waited was cancelled
            return
        items = [self._waiting.pop(future) for future in futures]
        self._start_next()
        try:
            results = await self._handle(items)
        except Exception as error:  # noqa: BLE001 (it is the callers')
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, result in zip(futures, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        finally:
            # Of a batch that was cancelled, as by the end of the event loop.
            for future in futures:
                future.cancel()
