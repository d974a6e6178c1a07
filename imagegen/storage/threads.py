"""The threads in which an image store makes its blocking calls."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

# Enough to keep a network busy, and few enough for a slow disk.
_AT_ONCE = 8


class StoreThreads:
    """Makes blocking calls in threads of their own, so that a store that hangs holds up nothing else.

    A call that takes longer than `timeout_s`, or is cancelled, goes on in its thread, since no thread
    can be stopped. It keeps its place among eight, so that threads do not pile up. While one takes
    longer than `timeout_s`, further calls fail at once, so that no picture waits for a directory
    that is known to hang. `are_daemons`: a call that hangs does not keep the process from ending; not
    for a library that may not be interrupted then.
    """

    def __init__(self, *, timeout_s: float, are_daemons: bool) -> None:
        self.timeout_s = timeout_s
        self._are_daemons = are_daemons
        self._free = asyncio.Semaphore(_AT_ONCE)
        # The calls for which nobody waits any more, and when each of them is late, on the loop's clock.
        self._abandoned: dict[Future[Any], float] = {}
        self._trial: Future[None] | None = None

    async def call(self, work: Callable[[], ResultT]) -> ResultT:
        """Return `work()`. May be cancelled: a call that has begun is then done to its end.

        Raises:
            TimeoutError: it takes longer than `timeout_s`, or an earlier call does. What `work`
                raises is raised too.
        """
        ends_at = asyncio.get_running_loop().time() + self.timeout_s
        call: Future[ResultT] | None = None
        try:
            async with asyncio.timeout_at(ends_at):
                self._expect_no_late_call()  # those that are late may have all places
                await self._free.acquire()
                call = self._start_in_place(work)
                return await asyncio.shield(self._freeing_place(call))
        except (TimeoutError, asyncio.CancelledError):
            if call is not None and not call.done():
                self._abandoned[call] = ends_at
            raise

    async def try_out(self, work: Callable[[], None]) -> None:
        """Call `work`, or wait for the trial that runs already, so that no two run at a time.

        For calls that are cancelled again and again, such as the trials of readiness checks.

        Raises:
            TimeoutError: it takes longer than `timeout_s`. What `work` raises is raised too.
        """
        if self._trial is None or self._trial.done():
            self._trial = self._start(work)
        async with asyncio.timeout(self.timeout_s):
            await asyncio.wrap_future(self._trial)

    def _start_in_place(self, work: Callable[[], ResultT]) -> "Future[ResultT]":
        """Start a call that has a place; without the call the place is free again."""
        try:
            self._expect_no_late_call()
            return self._start(work)
        except BaseException:
            self._free.release()
            raise

    def _freeing_place(self, call: "Future[ResultT]") -> "asyncio.Future[ResultT]":
        """Return the future of a call that has a place, which is free once the call has ended."""
        future = asyncio.wrap_future(call)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def _expect_no_late_call(self) -> None:
        now = asyncio.get_running_loop().time()
        self._abandoned = {
            call: ends_at for call, ends_at in self._abandoned.items() if not call.done()
        }
        if any(ends_at <= now for ends_at in self._abandoned.values()):
            raise TimeoutError

    def _start(self, work: Callable[[], ResultT]) -> "Future[ResultT]":
        call: Future[ResultT] = Future()
        # From now on it cannot be cancelled, so its thread may always set how it ended.
        call.set_running_or_notify_cancel()
        threading.Thread(
            target=_run, args=(call, work), name="image store", daemon=self._are_daemons
        ).start()
        return call


def _run(call: "Future[ResultT]", work: Callable[[], ResultT]) -> None:
    try:
        call.set_result(work())
    except BaseException as error:  # noqa: BLE001 (whoever waits for the call gets it)
        call.set_exception(error)
