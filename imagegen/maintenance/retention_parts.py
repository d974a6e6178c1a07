"""The parts of a retention, each of which goes on by itself, and what they have erased."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass

import structlog

from imagegen.errors import Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetentionCounts:
    """How much was erased, or would be.

    `contexts`: conversations of failed requests.
    `cancelled`: open requests whose dialog does not exist any more.
    `requests`: rows, together with their deliveries.
    `emptied`: rows that stay but lose their image.
    `pictures`: image files that rows had named.
    `orphans`: files in the store that no row had named.
    `notes`: findings of the content screen.
    `turns`: turns that the worker has read.
    `memories`: what was learnt of users and dialogs, and is over.
    """

    contexts: int = 0
    cancelled: int = 0
    requests: int = 0
    emptied: int = 0
    pictures: int = 0
    orphans: int = 0
    notes: int = 0
    turns: int = 0
    memories: int = 0

    def __add__(self, other: "RetentionCounts") -> "RetentionCounts":
        """Return the sum, field by field."""
        others = asdict(other)
        sums = {name: count + others[name] for name, count in asdict(self).items()}
        return RetentionCounts(**sums)

    @property
    def is_nothing(self) -> bool:
        """Whether all counts are 0."""
        return self == RetentionCounts()


class RetentionParts:
    """Runs the parts of a retention; one that fails stops no other, and is not run again."""

    def __init__(self) -> None:
        self._failures: dict[str, Exception] = {}

    async def run(
        self, name: str, part: Callable[[], Awaitable[RetentionCounts]]
    ) -> RetentionCounts:
        """Run a part and return what it has erased; nothing if it fails or has failed before."""
        if name in self._failures:
            return RetentionCounts()
        try:
            return await part()
        except Exception as error:  # noqa: BLE001 (reported when all parts have run)
            self._failures[name] = error
            return RetentionCounts()

    async def run_batches(
        self, name: str, batches: AsyncIterator[RetentionCounts]
    ) -> RetentionCounts:
        """Run a part batch by batch as in `run`; what it has erased before it fails counts."""
        total = RetentionCounts()
        if name in self._failures:
            return total
        try:
            async for counts in batches:
                total += counts
        except Exception as error:  # noqa: BLE001 (reported when all parts have run)
            self._failures[name] = error
        return total

    def log_failures(self) -> None:
        """Log an outage once, with the parts that wait for its end, and each other failure."""
        waiting: dict[str, list[str]] = {}
        for name, error in self._failures.items():
            if isinstance(error, Unavailable):
                waiting.setdefault(error.sentence, []).append(name)
            else:
                log.error("a step failed", task="retention", part=name, exc_info=error)
        for sentence, names in waiting.items():
            log.warning("retention waits", why=sentence, parts=names)

    def raise_first_failure(self) -> None:
        """Raise the error of the part that failed first; do nothing if none has."""
        first = next(iter(self._failures.values()), None)
        if first is not None:
            raise first
