"""How fast this machine is: a loop of additions, so that CPU figures of two machines compare."""

import time
from dataclasses import dataclass

_ADDITIONS = 10_000_000
# What the loop took on the machine on which the targets in CPU time were set.
REFERENCE_S = 1.25


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The speed of this machine: `loop_s` CPU seconds for ten million additions."""

    loop_s: float = REFERENCE_S

    @property
    def ratio(self) -> float:
        """How much longer the loop takes here than where the targets were set; below 1 if less long."""
        return self.loop_s / REFERENCE_S

    def most(self, target: float) -> float:
        """Return what a CPU figure may be here at most: more on a slower machine, never less."""
        return target * max(1.0, self.ratio)


def measure() -> Calibration:
    """Let Python do ten million additions."""
    began, total = time.process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return Calibration(loop_s=time.process_time() - began)
