"""Orderly shutdown of a program on SIGTERM and SIGHUP."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Make SIGTERM and SIGHUP (a closed terminal) raise SystemExit, so that every `finally` runs.

    For synchronous code in the main thread. An asyncio loop is run with `run_until_signal` instead.
    The former handlers are restored at the end.
    """
    former_handlers = {number: signal.signal(number, _exit) for number in _SHUTDOWN_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former_handlers.items():
            signal.signal(number, handler)


def run_until_signal(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in a new event loop; SIGTERM and SIGHUP cancel it, as Ctrl-C does.

    An exception raised by a signal handler could interrupt the loop at any instruction; a
    cancellation lets `main` clean up. Only the first signal cancels; later ones are ignored.

    Raises:
        SystemExit: a signal ended it; the code is 128 + the signal's number.
    """
    received: list[int] = []
    try:
        asyncio.run(_cancelled_by_signals(main, received))
    except asyncio.CancelledError:
        if received:
            _exit(received[0], None)
        raise


async def _cancelled_by_signals(main: Coroutine[Any, Any, None], received: list[int]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)
    whole = asyncio.current_task()

    def cancel(number: int, _frame: FrameType | None) -> None:
        if not received:  # a second cancellation must not interrupt the clean-up
            loop.call_soon_threadsafe(task.cancel)
        received.append(number)

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A connection that a cancelled library was just opening leaves a future that nobody reads.
        is_given_up = "future" in context and isinstance(context.get("exception"), ConnectionError)
        is_ended = received or (whole is not None and whole.cancelling())
        if not (is_given_up and is_ended):
            loop.default_exception_handler(context)

    loop.set_exception_handler(tell)
    former_handlers = {number: signal.signal(number, cancel) for number in _SHUTDOWN_SIGNALS}
    try:
        await task
    finally:
        for number, handler in former_handlers.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt the clean-up that SystemExit starts.
    for each in _SHUTDOWN_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
