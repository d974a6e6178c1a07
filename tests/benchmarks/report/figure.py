"""A figure: one line of the table, and the measurements behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Above this share of one core the sandbox is what was measured.
_TOO_BUSY = 0.90


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured, in words, and whether that is what we want.

    `ceiling` is the best that is possible at all. `is_reached` is None for a baseline, which has no target. CPU is in cores; None was not
    measured. `facts` go to the JSON file.
    """

    row: str
    name: str
    measured: str
    target: str = ""
    ceiling: str = ""
    is_reached: bool | None = None
    worker_cpu: float | None = None
    sandbox_cpu: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Say whether the target is reached, or that this can't be said."""
        if self.sandbox_cpu is not None and self.sandbox_cpu > _TOO_BUSY:
            return "sandbox too busy to say"
        if self.is_reached is None:
            return ""
        return "reached" if self.is_reached else "MISSED"
