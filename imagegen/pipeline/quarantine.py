"""Quarantine: requests under whose hands workers vanished run one at a time.

When a worker dies, all of its jobs look alike. Alone, only the guilty one is there the next time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagegen.errors import Rejected, Unavailable

# A deploy or a power cut takes many innocent ones along; twice in a row is a reason to look.
_SUSPECT_AFTER = 2
_ASK_AGAIN_S = 2.0


class Poisonous(Rejected):
    """Workers died or hung under this request again and again."""

    code = "poison"


class Quarantine:
    """Lets one suspect of a worker through at a time, and those that are no suspects at once."""

    def __init__(self, *, most_crashes: int) -> None:
        self._most = most_crashes
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def admitted(self, crashes: int) -> AsyncIterator[None]:
        """Let a request through under which so many jobs in a row have vanished.

        Raises Poisonous after too many, and Unavailable while another suspect runs.
        """
        if crashes >= self._most:
            raise Poisonous(f"The worker died {crashes} times over this picture.")
        if crashes < _SUSPECT_AFTER:
            yield
            return
        if self._one.locked():
            raise Unavailable(
                "waits until another suspect is through",
                code="suspect_waits",
                retry_after_s=_ASK_AGAIN_S,
            )
        async with self._one:
            yield
