"""HostStatus: one host of a pool, for whoever looks."""

from dataclasses import dataclass

from imagegen.comfy.health import Condition


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """How a host stands now.

    `waiting` are the callers it could draw for, `model_set` is what it drew last, `seconds` what
    a drawing takes on it lately, and `why` what is held against it while it is not up.
    """

    name: str
    condition: Condition
    slots: int
    taken: int
    waiting: int
    model_set: str | None
    seconds: float | None
    is_stock_known: bool
    why: str | None
