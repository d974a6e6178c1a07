"""The health of a host as a state machine, and whether the host is to blame for failed drawings.

Pure, but for the memory of FailureStreaks.
"""

import enum
from collections import defaultdict, deque
from dataclasses import dataclass, replace

_FIRST_REST_S = 1.0
# After lost prompts a host rests 1, 2, 4, 8 and then 16 s: each of them has kept a request waiting.
_DOUBLINGS_AFTER_LOST_PROMPT = 4
# Between probes it rests 1, 2 and then 4 s: probes cost nothing, and a host that is back should
# be used within seconds.
_DOUBLINGS_AFTER_MISSED_PROBE = 2
_DOWN_AFTER = 3
# A graphics card that fails every prompt seldom recovers by itself.
_ASIDE_S = 300.0

_FAILURES_IN_A_ROW = 3
_FAILURES_REMEMBERED = 20


class Condition(enum.StrEnum):
    """How a host is: `aside` is a host that answers, but fails whatever it draws."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    ASIDE = "aside"


@dataclass(frozen=True, kw_only=True)
class Health:
    """The health of one host.

    A resting host gets no new prompt until it has answered a probe, which is sent at `rests_until`
    or later. After that it gets one prompt at a time, until one of them has succeeded. `is_silent`:
    it has not answered since it was last asked; the prompts on a host that is not silent may be
    taken up, even if it rests. `lost` counts outages in which a prompt was lost, `missed` counts
    probes without an answer; both since the last successful drawing. Times are seconds on the
    pool's clock.
    """

    condition: Condition = Condition.UP
    is_resting: bool = False
    is_silent: bool = False
    rests_until: float = 0.0
    lost: int = 0
    missed: int = 0

    @property
    def is_up(self) -> bool:
        """Whether the host may use all of its slots."""
        return self.condition is Condition.UP

    @property
    def losses(self) -> int:
        """How often it was lost since it last drew, if it answers again but has not drawn; else 0."""
        is_back = self.condition is Condition.SUSPECT and not self.is_resting
        return self.lost if is_back else 0

    def usable_slots(self, slots: int) -> int:
        """Return how many of the host's slots may be lent: all, one or none."""
        if self.is_up:
            return slots
        return 0 if self.is_resting else 1


def after_draw() -> Health:
    """Return the health of a host that has just drawn an image."""
    return Health()


def after_prompt_answer(health: Health) -> Health:
    """Return the health of a host that has answered about a prompt, without drawing it."""
    # An answer says nothing about the graphics card, so a host put aside stays aside.
    if health.condition is Condition.ASIDE:
        return after_contact(health)
    return Health()


def after_contact(health: Health) -> Health:
    """Return the health of a host that answers, but is not ready for a new prompt yet."""
    return replace(health, is_silent=False) if health.is_silent else health


def after_probe(health: Health) -> Health:
    """Return the health of a host that has answered a probe and is ready for a new prompt."""
    if health.is_up or (health.condition is not Condition.ASIDE and not health.lost):
        return Health()
    condition = Condition.ASIDE if health.condition is Condition.ASIDE else Condition.SUSPECT
    return replace(
        health,
        condition=condition,
        is_resting=False,
        is_silent=False,
        rests_until=0.0,
        missed=0,
    )


def after_loss(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health of a host that was lost with a prompt.

    `jitter`, from 0 to 1, makes the rest up to half as long again, so that many hosts are not
    probed at the same moment.
    """
    if health.is_resting:
        return replace(health, is_silent=True)  # another prompt of the same outage
    return _silent(
        replace(health, lost=health.lost + 1),
        until=now + _rest_s(health.lost, _DOUBLINGS_AFTER_LOST_PROMPT, jitter),
    )


def after_silence(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health of a host that has not answered a probe; `jitter` as in `after_loss`."""
    return _silent(
        replace(health, missed=health.missed + 1),
        until=now + _rest_s(health.missed, _DOUBLINGS_AFTER_MISSED_PROBE, jitter),
    )


def after_bad_draws(health: Health, *, now: float, jitter: float) -> Health:
    """Return the health of a host that is to blame for failed drawings; `jitter` as above."""
    until = now + _ASIDE_S * (1 + jitter / 2)
    return replace(
        health, condition=Condition.ASIDE, is_resting=True, is_silent=False, rests_until=until
    )


def after_recovery_elsewhere(health: Health, *, now: float) -> Health:
    """Return the health of a host after another host has answered again.

    A silent host is probed at once: perhaps it was not the hosts that were away, but our network.
    """
    if not health.is_silent or health.condition is Condition.ASIDE:
        return health
    return replace(health, rests_until=min(health.rests_until, now))


class FailureStreaks:
    """Remembers on which hosts the drawings of each model set have failed.

    A host is to blame for the failures of workflows that fail on no other host. A workflow that
    has failed on two hosts since it last succeeded is broken itself: if it counted against hosts,
    it would put all of them aside (docs/decisions/0010-which-host-is-to-blame.md).
    """

    def __init__(self) -> None:
        # By host: the model sets of its last failures in a row.
        self._failures: defaultdict[str, deque[str]] = defaultdict(
            lambda: deque(maxlen=_FAILURES_REMEMBERED)
        )
        # By model set: the hosts on which it has failed since it last succeeded.
        self._failed_on: defaultdict[str, set[str]] = defaultdict(set)

    def succeeded(self, host: str, model_set: str) -> None:
        """Note a successful drawing: neither the workflow nor the host is to blame."""
        self._failures.pop(host, None)
        self._failed_on.pop(model_set, None)

    def failed(self, host: str, model_set: str) -> None:
        """Note a failed drawing on a host that has answered all the time."""
        self._failures[host].append(model_set)
        self._failed_on[model_set].add(host)

    def forget(self, host: str) -> None:
        """Forget a host that is none of ours any more."""
        self._failures.pop(host, None)
        for hosts in self._failed_on.values():
            hosts.discard(host)

    def is_host_at_fault(self, host: str) -> bool:
        """Whether the host has failed three times in a row with what has failed on no other host."""
        model_sets = self._failures.get(host, ())
        own_failures = [each for each in model_sets if self._failed_on.get(each, set()) <= {host}]
        return len(own_failures) >= _FAILURES_IN_A_ROW


def _rest_s(times: int, doublings: int, jitter: float) -> float:
    rest_s: float = _FIRST_REST_S * 2 ** min(times, doublings)
    return rest_s * (1 + jitter / 2)


def _silent(health: Health, *, until: float) -> Health:
    condition = health.condition
    if condition is not Condition.ASIDE:
        is_down = health.lost + health.missed >= _DOWN_AFTER
        condition = Condition.DOWN if is_down else Condition.SUSPECT
    return replace(health, condition=condition, is_resting=True, is_silent=True, rests_until=until)
