"""The limit of what pictures may cost in a day: above it no new one is drawn."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from imagegen.errors import Rejected
from imagegen.requests.costs import Costs

log = structlog.get_logger(f"{__name__}.changes")

_DAY = timedelta(days=1)
# So old may the sum be: what is drawn meanwhile may exceed the limit.
_FRESH_S = 15.0


class CostLimitReached(Rejected):
    """The pictures of the last 24 hours cost as much as COST_LIMIT_PER_DAY allows."""

    code = "cost_limit"

    def __init__(self) -> None:
        super().__init__("the pictures of the last 24 hours cost as much as COST_LIMIT_PER_DAY")


class CostLimit:
    """Knows what the last 24 hours cost, by the rows of all workers.

    `per_day` is in the currency of the prices; None for no limit. `clock` returns seconds.
    """

    def __init__(
        self,
        costs: Costs,
        *,
        per_day: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_day = per_day
        self._costs = costs
        self._clock = clock
        self._lock = asyncio.Lock()
        self._spent = 0.0
        self._read_at = float("-inf")
        self._is_reached = False

    async def check(self) -> None:
        """Make sure that a new picture may be drawn.

        Raises:
            CostLimitReached: the last 24 hours cost as much as the limit.
            Unavailable: PostgreSQL is away.
        """
        if await self.why_reached() is not None:
            raise CostLimitReached

    async def why_reached(self) -> str | None:
        """Return what was spent if the limit is reached, None if it is not; a check of readiness.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        if self.per_day is None or (spent := await self.spent()) < self.per_day:
            return None
        return (
            f"the pictures of the last 24 hours cost {spent:.2f}, and COST_LIMIT_PER_DAY is "
            f"{self.per_day:g}"
        )

    async def spent(self) -> float:
        """Return what the last 24 hours cost; the sum is up to 15 s old.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self._lock:
            if self._clock() - self._read_at >= _FRESH_S:
                self._spent, self._read_at = await self._costs.total(_DAY), self._clock()
                self._log_change()
            return self._spent

    def _log_change(self) -> None:
        is_reached = self.per_day is not None and self._spent >= self.per_day
        if is_reached and not self._is_reached:
            log.error("cost limit reached", spent=round(self._spent, 2), limit=self.per_day)
        elif self._is_reached and not is_reached:
            log.info("pictures are drawn again", spent=round(self._spent, 2), limit=self.per_day)
        self._is_reached = is_reached
