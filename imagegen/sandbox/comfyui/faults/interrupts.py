"""What stops a running prompt: a node that fails, somebody who asks it to stop."""

import asyncio


class NodeError(Exception):
    """A node that failed, under the exception's name on a real server.

    `advice` is what ComfyUI adds for people under the exception's own message.
    """

    def __init__(self, type_name: str, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.advice = advice


class InterruptedRun(Exception):
    """Somebody asked the running prompt to stop."""


class Interrupt:
    """The wish that the running prompt stops: asked for once, taken once."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()

    def request(self) -> None:
        self._requested.set()

    async def requested(self) -> None:
        """Wait until it is asked for, without taking it."""
        await self._requested.wait()

    def take(self) -> bool:
        was_requested = self._requested.is_set()
        self._requested.clear()
        return was_requested
