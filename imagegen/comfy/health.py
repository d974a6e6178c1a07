"""Is a host worth asking? Pure: what was, what happened, when → what is."""

import enum
from dataclasses import dataclass, replace

_FIRST_REST_S = 1.0
# 1, 2, 4, 8, 16, and then 32 s for as long as it takes.
_DOUBLINGS = 5
_DOWN_AFTER = 3


class Condition(enum.StrEnum):
    """What is known of a host."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class Health:
    """A host's condition; one that is not up is asked again from `rests_until` on."""

    condition: Condition = Condition.UP
    failures: int = 0
    rests_until: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the host may be asked at `now`."""
        return self.condition is Condition.UP or now >= self.rests_until


def after_answer() -> Health:
    """Return the health of a host that has just done what it was asked."""
    return Health()


def after_failure(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health after one more failure; `jitter`, 0 to 1, spreads the return of many."""
    failures = health.failures + 1
    rest_s = _FIRST_REST_S * 2 ** min(failures - 1, _DOUBLINGS)
    return replace(
        health,
        condition=Condition.DOWN if failures >= _DOWN_AFTER else Condition.SUSPECT,
        failures=failures,
        rests_until=now + rest_s * (1 + jitter / 2),
    )
