"""Ports for what a test starts later, which nobody else takes meanwhile."""

import functools
import itertools
import os
import random
from collections.abc import Iterator

from imagegen.sandbox.ports import is_free

# Below the ports that the sandbox takes for itself; each of xdist's processes has a part of them.
_FIRST, _END = 10_000, 15_000


def free_port() -> int:
    """Return a port of 127.0.0.1 that neither the sandbox nor another test process takes."""
    return next(port for port in _ports() if is_free(port))


@functools.cache
def _ports() -> Iterator[int]:
    size = (_END - _FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = _FIRST + size * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    # Two suites at the same time do not begin with the same port.
    start = random.SystemRandom().randrange(size)
    return itertools.cycle([*range(first + start, first + size), *range(first, first + start)])
