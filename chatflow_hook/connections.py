"""The hook's connections to PostgreSQL and Redis, of their own in each event loop."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from chatflow_hook.database import Database
from chatflow_hook.messages import Messages
from chatflow_hook.queue import QueueClient
from chatflow_hook.settings import HookSettings
from chatflow_hook.turn_recorder import TurnRecorder
from chatflow_hook.waiting import EndListener, PictureReader


class Connections:
    """What a hook uses in one event loop; everything is opened at its first use."""

    def __init__(self, settings: HookSettings, messages: Messages, recorder: TurnRecorder) -> None:
        self.database = Database(settings.database)
        self.turn_counts = recorder.counts_on(self.database)
        self.queue = QueueClient(
            settings.redis, broker_db=settings.redis_broker_db, result_db=settings.redis_result_db
        )
        self.ends = EndListener(self.queue)
        self.pictures = PictureReader(
            self.database, messages, age_text_version=settings.age_text_version
        )

    async def close(self) -> None:
        """Close the connections, without waiting for a server that does not answer."""
        self.turn_counts.cancel()
        await self.ends.close()
        await self.pictures.close()
        await self.queue.close()
        await self.database.close()


class ConnectionsByLoop:
    """Gives each event loop connections of its own, and closes them when that loop ends.

    A connection works only in the event loop in which it was opened. A program may have several
    loops, one after the other or in several threads: tests, Flask and Django's `async_to_sync`
    start one for each call.
    """

    def __init__(self, make: Callable[[], Connections]) -> None:
        self._make = make
        self._of_loop: dict[
            asyncio.AbstractEventLoop, tuple[Connections, AsyncGenerator[Connections]]
        ] = {}

    @property
    def current(self) -> Connections:
        """The connections of the running event loop.

        Raises:
            RuntimeError: no event loop runs.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._of_loop:
            self._drop_those_of_closed_loops()
            self._of_loop[loop] = self._held(loop)
        return self._of_loop[loop][0]

    async def close(self) -> None:
        """Close the connections of the running event loop; may be called twice.

        Those of another loop are closed when that ends.
        """
        found = self._of_loop.get(asyncio.get_running_loop())
        if found is not None:
            connections, holder = found
            await connections.close()
            await holder.aclose()

    def _held(
        self, loop: asyncio.AbstractEventLoop
    ) -> tuple[Connections, AsyncGenerator[Connections]]:
        connections = self._make()

        # asyncio closes the asynchronous generators that were begun in a loop before it closes the
        # loop (asyncio.run, asyncio.Runner). This one lets us close the connections then.
        async def hold() -> AsyncGenerator[Connections]:
            try:
                yield connections
            finally:
                self._of_loop.pop(loop, None)
                await connections.close()

        holder = hold()
        with suppress(StopIteration):  # it runs up to its `yield` without waiting for anything
            holder.__anext__().send(None)
        return connections, holder

    def _drop_those_of_closed_loops(self) -> None:
        # A loop that was closed without its generators. Nothing can be closed in it any more: the
        # garbage collector closes the sockets.
        for loop in [*self._of_loop]:
            if loop.is_closed():
                self._of_loop.pop(loop, None)
