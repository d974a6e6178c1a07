"""What has grown over a soak, and whether it may; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from tests.benchmarks.soak.samples import Series

_LEAST_SAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Limit:
    """By how much a resource may grow: `once`, and for each thousand pictures."""

    once: float
    per_thousand: float = 0.0


# By the end of the resource's name; the first that fits. `once` is what a busier moment leaves behind: the heap after
# a backlog, a pool of connections that was never so full before, the jobs that just run. A leak
# of one thing in each tenth picture is more than that after a thousand pictures. Of memory, a leak
# of a kilobyte in each picture is more after 20,000, of which each of the two workers has made the
# half. The bot has all of them, and keeps the id and the caption of each for the verdict.
LIMITS: Mapping[str, Limit] = {
    "bot: memory, MB": Limit(once=8.0, per_thousand=0.4),
    "memory, MB": Limit(once=7.0),
    "open files": Limit(once=24.0),
    "threads": Limit(once=16.0),
    "asyncio tasks": Limit(once=40.0),
    # Both workers and the bot keep up to ten connections each, once they have needed them.
    "PostgreSQL: connections": Limit(once=32.0),
    "connections": Limit(once=16.0),
    "keys": Limit(once=60.0),
}


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How a resource was in the first and in the last tenth of the samples (medians).

    `per_thousand` is the slope by Theil and Sen, for each thousand pictures: the median of the
    slopes between any two samples. `allowed` is how much the last tenth may be above the first.
    """

    resource: str
    first: float
    last: float
    per_thousand: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        return self.last - self.first <= self.allowed


def growths(series: Mapping[str, Series], *, warm_up: int) -> list[Growth]:
    """Judge each resource, without the samples of the first `warm_up` pictures.

    Raises:
        ValueError: there are fewer than 10 samples of a resource, or no limit for it.
    """
    return [
        _growth(resource, [each for each in samples if each[0] >= warm_up])
        for resource, samples in sorted(series.items())
    ]


def text(found: Iterable[Growth]) -> str:
    """Return a table, in Markdown."""
    head = ("resource", "first tenth", "last tenth", "per 1,000 pictures", "may grow by", "")
    rows = [head, *map(_cells, found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in (rows[0], rule, *rows[1:])
    )


def _growth(resource: str, samples: Sequence[tuple[int, float]]) -> Growth:
    if len(samples) < _LEAST_SAMPLES:
        raise ValueError(f"{resource}: {len(samples)} samples are too few")
    tenth = max(3, len(samples) // 10)
    limit = _limit(resource)
    thousands = (samples[-1][0] - samples[0][0]) / 1000
    return Growth(
        resource=resource,
        first=median(value for _, value in samples[:tenth]),
        last=median(value for _, value in samples[-tenth:]),
        per_thousand=_slope(samples) * 1000,
        allowed=limit.once + limit.per_thousand * thousands,
    )


def _limit(resource: str) -> Limit:
    for name, limit in LIMITS.items():
        if resource.endswith(name):
            return limit
    raise ValueError(f"there is no limit for {resource}")


def _slope(samples: Sequence[tuple[int, float]]) -> float:
    slopes = [
        (later - earlier) / (after - before)
        for (before, earlier), (after, later) in combinations(samples, 2)
        if after > before
    ]
    return median(slopes) if slopes else 0.0


def _cells(growth: Growth) -> tuple[str, ...]:
    return (
        growth.resource,
        f"{growth.first:.1f}",
        f"{growth.last:.1f}",
        f"{growth.per_thousand:+.2f}",
        f"{growth.allowed:.1f}",
        "flat" if growth.is_flat else "GROWS",
    )
