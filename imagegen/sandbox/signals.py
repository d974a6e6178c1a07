"""Ending in good order when the system asks a program to end."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Make SIGTERM and a closed terminal raise SystemExit, so that every `finally` runs.

    For the main thread; a loop in it is started with `run`.
    """
    before = {number: signal.signal(number, _exit) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_signal(main: Coroutine[Any, Any, None]) -> None:
    """Run a loop in which these signals cancel `main`, as Ctrl-C does, and then raise SystemExit.

    An exception out of a signal's handler would tear the loop apart wherever it is.
    """
    told: list[int] = []
    try:
        asyncio.run(_cancelled_by_signals(main, told))
    except asyncio.CancelledError:
        if told:
            _exit(told[0], None)
        raise


async def _cancelled_by_signals(main: Coroutine[Any, Any, None], told: list[int]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

    def cancel(number: int, _frame: FrameType | None) -> None:
        if not told:  # once is enough, here too
            loop.call_soon_threadsafe(task.cancel)
        told.append(number)

    before = {number: signal.signal(number, cancel) for number in _ENDING}
    try:
        await task
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not break into the cleaning up.
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
