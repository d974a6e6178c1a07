"""Holds a sandbox between two nodes or two steps until a test lets it go on."""

import asyncio
from collections import deque
from contextlib import suppress


class StepGate:
    """The `sleep` of a sandbox's executor, which returns only when a test says so.

    Real servers are slow, and a recorded client acted in the middle of a node. The sandbox is fast:
    held at this gate it is where the recorded server was when the client acted.
    """

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self._held: deque[asyncio.Future[None]] = deque()
        self._is_loose = False

    @property
    def is_waiting(self) -> bool:
        """Whether the executor waits at the gate."""
        return bool(self._held)

    async def sleep(self, _seconds: float) -> None:
        """Wait until the test releases it; passed to the sandbox as `sleep`."""
        if self._is_loose:
            await asyncio.sleep(0)
            return
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(held)
        self.moved.set()
        await held

    async def movement(self, *, within_s: float) -> None:
        """Wait until something moves from now on, no longer than `within_s`."""
        self.moved.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.moved.wait()

    def release(self) -> None:
        """Let the executor go on to the next node or step."""
        held = self._held.popleft()
        if not held.done():
            held.set_result(None)

    def release_all(self) -> None:
        """Let the executor run without stops from now on."""
        self._is_loose = True
        while self._held:
            self.release()
