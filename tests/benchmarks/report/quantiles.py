"""Quantiles of what was measured."""

from collections.abc import Iterable


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which that share lies, between neighbours in proportion.

    Raises ValueError if there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is nothing to take a quantile of")
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
