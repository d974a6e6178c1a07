"""Which host draws the next prompt, and how long it will take; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

# Another host must be that much sooner before a free place behind a prompt is left alone.
_CLEARLY = 1.5
# A change of models counts for more than the wait for it: it also keeps the host from all who come
# next, and its models from those who had them there.
_CHANGE_WEIGHS = 1.5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A host that could draw what somebody waits for, as it stands now.

    `taken` counts its slots lent, and `left_s` is how long until they are drawn. `has_models`
    says that the last of them has the same model set, `change_s` what another one costs, and
    `seconds` how long it takes for such a drawing, if that is known.
    """

    name: str
    is_up: bool
    is_free: bool
    taken: int
    left_s: float = 0.0
    has_models: bool = False
    change_s: float = 0.0
    seconds: float | None = None

    @property
    def begins_s(self) -> float:
        """Estimate how long until a prompt given now is drawn, with its models in place."""
        return self.left_s + (0.0 if self.has_models else self.change_s)

    @property
    def cost_s(self) -> float:
        """Weigh what a prompt given now costs, to whom it belongs and to the others."""
        return self.left_s + (0.0 if self.has_models else _CHANGE_WEIGHS * self.change_s)

    @property
    def ends_s(self) -> float:
        """Estimate how long until a prompt given now is done; 0 where nothing is known yet."""
        return 0.0 if self.seconds is None else self.begins_s + self.seconds


def choose_host(candidates: Sequence[Candidate], *, rather_not: str | None = None) -> str | None:
    """Name the host to draw on now; None: none is free, or waiting is better.

    The one with the lowest price: so prompts spread over idle hosts, but stay with their models
    where the wait for them is worth it. A host that is not known to be up is the last choice but
    one, and the last is `rather_not`, which has just failed this request.
    """
    free = [
        each for each in candidates if each.is_free and not _is_worse_than_waiting(each, candidates)
    ]
    if not free:
        return None
    best = min(free, key=lambda each: _cost(each, rather_not))
    full = [each for each in candidates if not each.is_free and each.name != rather_not]
    return None if any(_saves_a_change(each, best) for each in full) else best.name


def _cost(
    candidate: Candidate, rather_not: str | None
) -> tuple[bool, bool, float, int, bool, float]:
    return (
        candidate.name == rather_not,
        not candidate.is_up,
        candidate.cost_s,
        candidate.taken,
        not candidate.has_models,
        candidate.ends_s,
    )


def _is_worse_than_waiting(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    # The slow host has something to draw already, so nothing idles when nobody queues there.
    if not candidate.taken or candidate.seconds is None:
        return False
    return any(
        other.is_up and other.seconds is not None and _CLEARLY * other.ends_s < candidate.ends_s
        for other in others
    )


def _saves_a_change(full: Candidate, best: Candidate) -> bool:
    return (
        full.is_up
        and full.has_models
        and full.seconds is not None
        and not best.has_models
        and full.cost_s < best.cost_s
    )


# How much the newest drawing counts: after five the oldest weighs a third.
_WEIGHT = 0.2


class Estimate:
    """Moving averages of seconds, apart for drawings that began with a change of models."""

    def __init__(self) -> None:
        self._averages: dict[tuple[str | None, bool], float] = {}

    def note(self, model_set: str, seconds: float, *, is_change: bool = False) -> None:
        """Learn that a drawing took so long, the loading of its models included."""
        for key in ((model_set, is_change), (None, is_change)):
            before = self._averages.get(key)
            self._averages[key] = _moved(before, seconds)

    def seconds(self, model_set: str | None = None, *, is_change: bool = False) -> float | None:
        """Say how long a drawing takes, of any model set if this one is new; None: no idea."""
        keys = ((model_set, is_change), (None, is_change), (None, not is_change))
        return next((self._averages[key] for key in keys if key in self._averages), None)

    @property
    def change_s(self) -> float | None:
        """How much longer a drawing takes that has to load its models; None as long as unknown."""
        with_change, without = self._averages.get((None, True)), self._averages.get((None, False))
        return None if with_change is None or without is None else max(0.0, with_change - without)


def _moved(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + _WEIGHT * (seconds - before)
