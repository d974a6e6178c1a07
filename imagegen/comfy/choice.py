"""Which host draws the next prompt; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

# Another host must be that much sooner before a free place behind a prompt is left alone.
_CLEARLY = 1.5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A host that could draw what somebody waits for, as it stands now.

    `taken` counts its slots lent, `has_models` says that it drew the same model set last, and
    `seconds` how long it takes for such a drawing, if that is known.
    """

    name: str
    is_up: bool
    is_free: bool
    taken: int
    has_models: bool = False
    seconds: float | None = None

    @property
    def wait_s(self) -> float:
        """Estimate how long until a prompt given now is drawn; 0 where nothing is known yet."""
        return (self.taken + 1) * (self.seconds or 0.0)


def choose(candidates: Sequence[Candidate], *, rather_not: str | None = None) -> str | None:
    """Name the host to draw on now; None: none is free, or waiting is better.

    Spread before stack; then the host that has the models in place, since changing a LoRA costs
    seconds; then the shortest wait. A host that is not known to be up is the last choice but one,
    and the last is `rather_not`, which has just failed this request.
    """
    free = [
        each for each in candidates if each.is_free and not _is_worse_than_waiting(each, candidates)
    ]
    return min(free, key=lambda each: _cost(each, rather_not)).name if free else None


def _cost(candidate: Candidate, rather_not: str | None) -> tuple[bool, bool, int, bool, float]:
    return (
        candidate.name == rather_not,
        not candidate.is_up,
        candidate.taken,
        not candidate.has_models,
        candidate.wait_s,
    )


def _is_worse_than_waiting(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    # The slow host has something to draw already, so nothing idles when nobody queues there.
    if not candidate.taken or candidate.seconds is None:
        return False
    return any(
        other.is_up and other.seconds is not None and _CLEARLY * other.wait_s < candidate.wait_s
        for other in others
    )
