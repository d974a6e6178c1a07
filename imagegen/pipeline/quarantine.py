"""Quarantine: requests under which workers died run one at a time.

When a worker dies, every job that it ran could be the cause. A request that runs alone is the only
possible cause the next time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagegen.errors import Rejected, Unavailable

# A deploy or a power cut ends many jobs that are not the cause; twice in a row is a reason to
# suspect a request.
_SUSPECT_AFTER_CRASHES = 2
_RETRY_AFTER_S = 2.0


class Poisonous(Rejected):
    """Workers died or hung under this request again and again."""

    code = "poison"


class Quarantine:
    """Lets one suspect request of a worker run at a time, and all other requests at once."""

    def __init__(self, *, max_crashes: int) -> None:
        self._max_crashes = max_crashes
        self._suspect_lock = asyncio.Lock()

    @asynccontextmanager
    async def admitted(self, crashes: int) -> AsyncIterator[None]:
        """Admit a request while the block runs, without waiting.

        `crashes` is how many jobs of this request in a row have vanished with their worker.

        Raises:
            Poisonous: `crashes` has reached the limit.
            Unavailable: another suspect runs; its code is `suspect_waits`.
        """
        if crashes >= self._max_crashes:
            raise Poisonous(f"The worker died {crashes} times over this picture.")
        if crashes < _SUSPECT_AFTER_CRASHES:
            yield
            return
        if self._suspect_lock.locked():
            raise Unavailable(
                "waits until another suspect is through",
                code="suspect_waits",
                retry_after_s=_RETRY_AFTER_S,
            )
        async with self._suspect_lock:
            yield
