"""Which host draws the next prompt, and how long it will take; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

# A free slot behind another prompt is left empty if another host would end sooner by this factor.
_SOONER_FACTOR = 1.5
# A prompt that waits on a host is moved to another one only if that gains at least this much, too.
_LEAST_GAIN_S = 2.0
# What a prompt is expected to cost on a host that answers again after it was lost, since it may be
# lost once more: about as long as that takes to notice. Twice as much after each further loss.
_LOSS_S = 20.0
# A change of models costs more than its own time: it also delays all requests that come next, and
# unloads models that other requests need (docs/decisions/0016-a-change-of-models-is-time.md).
_CHANGE_FACTOR = 1.5
# How much the newest drawing counts in an average. After five drawings the average before them
# weighs a third.
_NEWEST_WEIGHT = 0.2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A host that could draw a prompt, in its present state; all times in seconds.

    `taken` counts its lent slots and `others` the prompts that are not ours, and `left_s` is how
    long all of these still take. `has_models`: the last of ours has the same model set as this
    prompt. `change_s` is what a change of models costs. `seconds` is how long a drawing with this
    model set takes, None if unknown. `is_short_of_memory`: the last one ran out of memory here.
    `losses`: how often it was lost since it last drew, if it answers again but has not drawn yet; 0
    for any other host, up or not.
    """

    name: str
    is_up: bool
    is_free: bool
    taken: int
    others: int = 0
    left_s: float = 0.0
    has_models: bool = False
    change_s: float = 0.0
    seconds: float | None = None
    is_short_of_memory: bool = False
    losses: int = 0

    @property
    def answers(self) -> bool:
        """Whether it is up, or answers again after it was lost."""
        return self.is_up or self.losses > 0

    @property
    def queued(self) -> int:
        """How many prompts a prompt that is given now has before it."""
        return self.taken + self.others

    @property
    def begins_s(self) -> float:
        """How long until a prompt that is given now begins to be drawn, its models loaded."""
        return self.left_s + self._risk_s + (0.0 if self.has_models else self.change_s)

    @property
    def cost_s(self) -> float:
        """What a prompt that is given now costs, for its own request and for later ones."""
        change_s = 0.0 if self.has_models else _CHANGE_FACTOR * self.change_s
        return self.left_s + self._risk_s + change_s

    @property
    def ends_s(self) -> float:
        """How long until a prompt that is given now is done; 0 if `seconds` is unknown."""
        return 0.0 if self.seconds is None else self.begins_s + self.seconds

    @property
    def _risk_s(self) -> float:
        return _LOSS_S * 2.0 ** (self.losses - 1) if self.losses else 0.0


def choose_host(
    candidates: Sequence[Candidate],
    *,
    avoid_host: str | None = None,
    prefer_host: str | None = None,
) -> str | None:
    """Return the name of the host to draw on now; None if none is free or waiting is better.

    The host with the lowest cost is chosen. So prompts spread over idle hosts, but go where their
    models are loaded if the wait there costs less than loading them. A host that answers again
    after it was lost counts as one that begins later. Any other host that is not up is chosen only
    if no other is left, and `avoid_host`, the host that has just failed this request, last of all,
    as is a host on which its models do not fit into the memory. `prefer_host`, a host that is about
    to have the models, is chosen if it is up and free.
    """
    for each in candidates:
        if each.name == prefer_host and each.is_up and each.is_free:
            return each.name
    soonest_s = min(
        (each.ends_s for each in candidates if each.is_up and each.seconds is not None),
        default=inf,
    )
    free = [each for each in candidates if each.is_free and not _is_much_later(each, soonest_s)]
    if not free:
        return None
    best = min(free, key=lambda each: _cost(each, avoid_host))
    full = [each for each in candidates if not each.is_free and each.name != avoid_host]
    return None if any(_saves_a_change(each, best) for each in full) else best.name


def sooner_host(candidates: Sequence[Candidate], *, wait_s: float) -> str | None:
    """Return the name of a free host that would begin a prompt much sooner than in `wait_s`.

    `wait_s` is how long the prompt still waits where it is, in seconds. None if it should stay.
    """
    free = [each for each in candidates if each.is_free and not each.is_short_of_memory]
    best = min(free, key=lambda each: (each.begins_s, each.queued), default=None)
    return best.name if best is not None and begins_much_sooner(best, wait_s=wait_s) else None


def begins_much_sooner(candidate: Candidate, *, wait_s: float) -> bool:
    """Whether a host that answers would begin a prompt much sooner than in `wait_s` seconds."""
    begins_s = candidate.begins_s
    return candidate.answers and wait_s > max(_SOONER_FACTOR * begins_s, begins_s + _LEAST_GAIN_S)


class Estimate:
    """How long drawings take on one host: moving averages in seconds.

    There is one average for each model set and one for all of them, each separately for drawings
    that began with a change of models and for the others.
    """

    def __init__(self) -> None:
        self._averages: dict[tuple[str | None, bool], float] = {}

    def note(self, model_set: str, seconds: float, *, is_change: bool = False) -> None:
        """Note how long a drawing took; with `is_change` that includes loading the models."""
        for key in ((model_set, is_change), (None, is_change)):
            before = self._averages.get(key)
            self._averages[key] = _moving_average(before, seconds)

    def seconds(self, model_set: str | None = None, *, is_change: bool = False) -> float | None:
        """Return how long a drawing takes; None if nothing has been drawn.

        For a model set that is new or None it is the average over all model sets.
        """
        keys = ((model_set, is_change), (None, is_change), (None, not is_change))
        return next((self._averages[key] for key in keys if key in self._averages), None)

    @property
    def change_s(self) -> float | None:
        """How much longer a drawing takes that begins with a change of models; None if unknown."""
        with_change, without = self._averages.get((None, True)), self._averages.get((None, False))
        return None if with_change is None or without is None else max(0.0, with_change - without)


def _cost(
    candidate: Candidate, avoid_host: str | None
) -> tuple[bool, bool, float, int, bool, float]:
    return (
        candidate.name == avoid_host or candidate.is_short_of_memory,
        not candidate.answers,
        candidate.cost_s,
        candidate.queued,
        not candidate.has_models,
        candidate.ends_s,
    )


def _is_much_later(candidate: Candidate, soonest_s: float) -> bool:
    # Only for a host that has a prompt already: an idle host is used, however slow it is.
    if not candidate.queued or candidate.seconds is None:
        return False
    return _SOONER_FACTOR * soonest_s < candidate.ends_s


def _saves_a_change(full: Candidate, best: Candidate) -> bool:
    """Whether a wait for a full host with the models costs less than loading them on `best`."""
    return (
        full.is_up
        and full.has_models
        and full.seconds is not None
        and not best.has_models
        and full.cost_s < best.cost_s
    )


def _moving_average(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + _NEWEST_WEIGHT * (seconds - before)
