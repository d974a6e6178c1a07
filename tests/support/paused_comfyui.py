"""Holds a sandbox between two nodes, or two steps, until a test lets it go on."""

import asyncio
from collections import deque


class Reins:
    """A clock for a sandbox's worker, in which time passes only when a test says so.

    Real servers are slow and a recorded client acted in the middle of a node. The sandbox is quick:
    held by the reins, it is where the recorded server was when the client acts.
    """

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self._held: deque[asyncio.Future[None]] = deque()
        self._is_loose = False

    @property
    def holds(self) -> bool:
        """Tell whether the worker waits to go on."""
        return bool(self._held)

    async def sleep(self, _seconds: float) -> None:
        """Wait until the test lets go: this stands in for the sandbox's `sleep`."""
        if self._is_loose:
            await asyncio.sleep(0)
            return
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(held)
        self.moved.set()
        await held

    def let_go(self) -> None:
        """Let the worker go on to the next node or step."""
        held = self._held.popleft()
        if not held.done():
            held.set_result(None)

    def drop(self) -> None:
        """Let the worker go on from now on as it likes."""
        self._is_loose = True
        while self._held:
            self.let_go()
