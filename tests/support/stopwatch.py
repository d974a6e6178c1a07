"""Measures how long our code takes, on a machine that others keep busy too."""

import time
from contextlib import suppress
from pathlib import Path

# Of this process' main thread: nanoseconds on a processor, nanoseconds waited for one, turns.
_SCHEDULED = Path("/proc/self/schedstat")


class Stopwatch:
    """Counts seconds from when it is made, without those in which the tests waited for a processor.

    Elsewhere than on Linux nobody tells of that wait, and all seconds count.
    """

    def __init__(self) -> None:
        self._began = _seconds()

    @property
    def seconds(self) -> float:
        return _seconds() - self._began


def _seconds() -> float:
    return time.monotonic() - _waited_s()


def _waited_s() -> float:
    with suppress(OSError):
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    return 0.0
