"""Ending in good order when the system asks a synchronous program to end."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Make SIGTERM and a closed terminal raise SystemExit, so that every `finally` runs.

    For the main thread. An event loop that installs handlers of its own overrides this.
    """
    before = {number: signal.signal(number, _exit) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not break into the cleaning up.
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
