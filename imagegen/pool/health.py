"""Is a host worth asking, and is it the host that fails? Pure: what was, what happened, when → what is."""

import enum
from collections import defaultdict, deque
from dataclasses import dataclass, replace

_IN_A_ROW = 3
_REMEMBERED = 20


class FailureStreaks:
    """Remembers which model sets failed where."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._failed_on: defaultdict[str, set[str]] = defaultdict(set)

    def succeeded(self, host: str, model_set: str) -> None:
        """Learn that a drawing went well: its workflow is sound, and so is the host."""
        self._rows.pop(host, None)
        self._failed_on.pop(model_set, None)

    def failed(self, host: str, model_set: str) -> None:
        """Learn that a drawing failed on a host that answered all the while."""
        self._rows[host].append(model_set)
        self._failed_on[model_set].add(host)

    def is_host_at_fault(self, host: str) -> bool:
        """Whether the host failed so often in a row that it must be its own fault."""
        row = self._rows.get(host, ())
        own = [each for each in row if self._failed_on.get(each, set()) <= {host}]
        return len(own) >= _IN_A_ROW


_FIRST_REST_S = 1.0
# After draws that got lost: 1, 2, 4, 8 and then 16 s, since each of them kept somebody waiting.
_DOUBLINGS_OF_LOST = 4
# Between probes: 1, 2 and then 4 s. They cost nothing, and who is back is to be used in seconds.
_DOUBLINGS_OF_MISSED = 2
_DOWN_AFTER = 3
# What makes a graphics card fail every prompt seldom mends itself.
_ASIDE_S = 300.0


class Condition(enum.StrEnum):
    """What is known of a host; `aside` is one that answers and fails whatever it draws."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    ASIDE = "aside"


@dataclass(frozen=True, kw_only=True)
class Health:
    """A host's condition.

    One that rests gets no prompt until it has answered a probe, which comes not before
    `rests_until`; then it gets one at a time until one of them went well. `lost` counts outages
    that cost a draw, `missed` probes without an answer, both since the last good draw.
    """

    condition: Condition = Condition.UP
    is_resting: bool = False
    rests_until: float = 0.0
    lost: int = 0
    missed: int = 0

    @property
    def is_up(self) -> bool:
        """Whether nothing is held against the host."""
        return self.condition is Condition.UP

    def places(self, slots: int) -> int:
        """Say how many of the host's slots may be lent."""
        if self.is_up:
            return slots
        return 0 if self.is_resting else 1

    def is_due(self, now: float) -> bool:
        """Whether the host has rested long enough to be probed."""
        return self.is_resting and now >= self.rests_until


def after_draw() -> Health:
    """Return the health of a host that has just drawn a picture."""
    return Health()


def after_answer(health: Health) -> Health:
    """Return the health of a host that spoke of a prompt, and has not drawn it."""
    # That a host answers says nothing of its graphics card.
    return health if health.condition is Condition.ASIDE else Health()


def after_probe(health: Health) -> Health:
    """Return the health of a host that has answered a probe."""
    if health.is_up or (health.condition is not Condition.ASIDE and not health.lost):
        return Health()
    condition = Condition.ASIDE if health.condition is Condition.ASIDE else Condition.SUSPECT
    return replace(health, condition=condition, is_resting=False, rests_until=0.0, missed=0)


def after_loss(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health after a draw got lost; `jitter`, 0 to 1, spreads the return of many."""
    if health.is_resting:
        return health  # another prompt of the same outage
    return _resting(
        replace(health, lost=health.lost + 1),
        until=now + _rest_s(health.lost, _DOUBLINGS_OF_LOST, jitter),
    )


def after_silence(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health after a probe found nobody."""
    return _resting(
        replace(health, missed=health.missed + 1),
        until=now + _rest_s(health.missed, _DOUBLINGS_OF_MISSED, jitter),
    )


def after_bad_draws(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health of a host that is to blame for several failed drawings in a row."""
    until = now + _ASIDE_S * (1 + jitter / 2)
    return replace(health, condition=Condition.ASIDE, is_resting=True, rests_until=until)


def _rest_s(times: int, doublings: int, jitter: float) -> float:
    rest_s: float = _FIRST_REST_S * 2 ** min(times, doublings)
    return rest_s * (1 + jitter / 2)


def _resting(health: Health, *, until: float) -> Health:
    condition = health.condition
    if condition is not Condition.ASIDE:
        is_down = health.lost + health.missed >= _DOWN_AFTER
        condition = Condition.DOWN if is_down else Condition.SUSPECT
    return replace(health, condition=condition, is_resting=True, rests_until=until)
