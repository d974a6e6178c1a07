"""What ends a running prompt early: a node that fails, an interrupt."""

import asyncio


class NodeError(Exception):
    """A node failed; `type_name` is the exception's name on a real server.

    `advice` is what ComfyUI adds below the exception's own message.
    """

    def __init__(self, type_name: str, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.advice = advice


class InterruptedRun(Exception):
    """The running prompt was interrupted."""


class Interrupt:
    """The request to interrupt the running prompt: `take` clears it."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()

    def request(self) -> None:
        self._requested.set()

    async def requested(self) -> None:
        """Wait until an interrupt is requested, without clearing it."""
        await self._requested.wait()

    def take(self) -> bool:
        """Clear the request; True if there was one."""
        was_requested = self._requested.is_set()
        self._requested.clear()
        return was_requested
