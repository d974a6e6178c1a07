"""How fast this machine is: a loop of additions, so that CPU figures of two machines compare."""

import time

_ADDITIONS = 10_000_000


def loop_s() -> float:
    """Return how many CPU seconds Python takes for ten million additions."""
    began, total = time.process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.process_time() - began
