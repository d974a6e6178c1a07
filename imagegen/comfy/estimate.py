"""Estimate: how long one host draws, by model set, from what it drew lately."""

# How much the newest drawing counts: after five the oldest weighs a third.
_WEIGHT = 0.2


class Estimate:
    """Moving averages of seconds."""

    def __init__(self) -> None:
        self._by_model_set: dict[str, float] = {}
        self._overall: float | None = None

    def note(self, model_set: str, seconds: float) -> None:
        """Learn that a drawing took so long."""
        before = self._by_model_set.get(model_set)
        self._by_model_set[model_set] = _moved(before, seconds)
        self._overall = _moved(self._overall, seconds)

    def seconds(self, model_set: str | None = None) -> float | None:
        """Say how long a drawing takes, of any model set if this one is new; None: no idea."""
        if model_set is None:
            return self._overall
        return self._by_model_set.get(model_set, self._overall)


def _moved(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + _WEIGHT * (seconds - before)
