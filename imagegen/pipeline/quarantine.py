"""Quarantine: of the requests under which workers died, a few run at a time.

When a worker dies, every job that it worked on could be the cause. Each crash narrows the circle: it
leaves only those as suspects that ran in the same group. In the last group a request runs alone,
and is the only possible cause.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from imagegen.errors import Rejected, Unavailable
from imagegen.requests.claim import ClaimedRequest

_RETRY_AFTER_S = 2.0
# Suspects that wait ask every two seconds, each of them, and one count of them all is enough.
_COUNT_EVERY_S = 1.0


class Poisonous(Rejected):
    """Workers died or hung under this request again and again."""

    code = "poison"


class Quarantine:
    """Lets suspect requests of a worker run in groups, and all other requests at once.

    `max_crashes`: at so many crashes a request ends. `count_suspects` returns how many open
    requests are suspects; it is called at most once a second. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        max_crashes: int,
        count_suspects: Callable[[], Awaitable[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_crashes = max_crashes
        self._count_suspects = count_suspects
        self._clock = clock
        self._suspects, self._counted_at = 0, float("-inf")
        self._counting = asyncio.Lock()
        # The crashes of each suspect that runs.
        self._running: dict[UUID, int] = {}

    @asynccontextmanager
    async def admitted(self, request: ClaimedRequest) -> AsyncIterator[None]:
        """Admit a request while the block runs, without waiting.

        Raises:
            Poisonous: `request.crashes`, the number of its jobs in a row that have vanished with
                their worker, has reached the limit.
            Unavailable: enough other suspects run, and then its code is `suspect_waits`; or
                PostgreSQL is away.
        """
        if request.crashes >= self._max_crashes:
            raise Poisonous(f"The worker died {request.crashes} times over this picture.")
        await self.readmit(request)
        try:
            yield
        finally:
            self.acquit(request.id)

    async def readmit(self, request: ClaimedRequest) -> None:
        """Admit a request again that was let out while it waited; does nothing if it was not.

        Raises:
            Unavailable: as in `admitted`.
        """
        if not request.is_suspect or request.id in self._running:
            return
        suspects = await self._recent_count()
        most_crashes = max([request.crashes, *self._running.values()])
        if len(self._running) >= self._group_size(suspects, most_crashes):
            raise Unavailable(
                "waits until other suspects are through",
                code="suspect_waits",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._running[request.id] = request.crashes

    def acquit(self, request_id: UUID) -> None:
        """Let another suspect run in place of this one, which only waits or gets on.

        Does nothing for a request that is no suspect; may be called twice.
        """
        self._running.pop(request_id, None)

    async def _recent_count(self) -> int:
        async with self._counting:
            if self._clock() - self._counted_at >= _COUNT_EVERY_S:
                self._suspects = await self._count_suspects()
                self._counted_at = self._clock()
            return self._suspects

    def _group_size(self, suspects: int, crashes: int) -> int:
        """Return how many suspects may run at a time beside one with so many crashes.

        Each crash divides the suspects by the same factor, so that the group of the last crash that
        a request may have is the request alone. With the usual five crashes 8 suspects run 4, then
        2, then 1 at a time, and 1000 suspects 100, 10 and 1.
        """
        alone_at = self._max_crashes - 1
        return max(1, round(math.pow(suspects, (alone_at - crashes) / (alone_at - 1))))
