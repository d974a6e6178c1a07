"""CPU time and memory of processes and their children, as in Linux's /proc."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagegen.sandbox.servers.process import descendants_of

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(*pids: int) -> float:
    """Return the CPU seconds of these processes, and of children alive or waited for."""
    return sum(_cpu_s(each) for pid in pids for each in (pid, *descendants_of(pid)))


def own_cpu_s() -> float:
    """Return the CPU seconds of this very process, without its children."""
    return time.process_time()


def children_cpu_s() -> float:
    """Return the CPU seconds of all children of this process that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def rss_mb(pid: int) -> float:
    """Return the resident memory in MB (10⁶ bytes). Raises OSError if there is no such process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, kw_only=True)
class Load:
    """CPU over a time: in cores, and in seconds."""

    cores: float
    seconds: float


class Meter:
    """CPU time since it was created, of these processes, or of this one if none is named."""

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self._pids = pids
        self._began_s = time.monotonic()
        self._before_s = self._used_s()

    def read(self) -> Load:
        """Return what these processes have used until now."""
        seconds = self._used_s() - self._before_s
        return Load(cores=seconds / (time.monotonic() - self._began_s), seconds=seconds)

    def _used_s(self) -> float:
        return cpu_s(*self._pids) if self._pids else own_cpu_s()


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        # The program's name comes before, in brackets, and may hold anything.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in state[11:15]) / _TICKS
    return 0.0
