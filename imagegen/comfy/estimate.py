"""Estimate: how long one host draws, by model set, from what it drew lately."""

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
