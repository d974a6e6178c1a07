"""The events of one prompt, read from the websocket of its client without a pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import ClientWebSocketResponse, WSMsgType

from imagegen.comfy import events
from imagegen.comfy.errors import HostLost
from imagegen.comfy.events import Event
from imagegen.comfy.http import HostHTTP


class WebSocketLost(HostLost):
    """The websocket is closed or sent a malformed frame; the host itself may be well."""


class EventQueue:
    """The events of a prompt, from one websocket after another, and exceptions for its reader.

    It has no size limit, so that frames are read at once: a client that stops reading stops the
    server from sending to all of its clients.
    """

    def __init__(self) -> None:
        self._items: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def put(self, item: Event | Exception) -> None:
        """Add an event, or an exception that `next` raises when its turn comes."""
        self._items.put_nowait(item)

    async def next(self, *, until: float) -> Event | None:
        """Return the next event, or None if `until`, a time of the loop's clock, passes first.

        An exception in the queue is raised. A cancelled call loses no event.
        """
        try:
            async with asyncio.timeout_at(until):
                item = await self._items.get()
        except TimeoutError:
            return None
        if isinstance(item, Exception):
            raise item
        return item


@asynccontextmanager
async def listening(
    http: HostHTTP, client_id: str, queue: EventQueue, *, opens_within_s: float
) -> AsyncIterator[None]:
    """Put all events for a client into the queue while the block runs.

    If the websocket closes or sends a malformed frame, a WebSocketLost is put into the queue and
    reading ends. The websocket is closed after the block. When that is done, the server has
    removed the client from its list; a new websocket of the same client that was opened earlier
    would be removed with it.

    Raises:
        WebSocketLost: no websocket can be opened within `opens_within_s`.
    """
    async with AsyncExitStack() as stack:
        try:
            socket = await stack.enter_async_context(
                http.socket(client_id, within_s=opens_within_s)
            )
        except HostLost as error:
            raise WebSocketLost(error.sentence) from error
        reading = asyncio.create_task(
            _read(http.name, socket, queue), name=f"websocket {client_id}"
        )
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def _read(host: str, socket: ClientWebSocketResponse, queue: EventQueue) -> None:
    while True:
        message = await socket.receive()
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            queue.put(WebSocketLost(f"{host} closed the websocket"))
            return
        try:
            queue.put(events.read_event(message.data))
        except events.MalformedFrame as error:
            lost = WebSocketLost(f"{host} sent what is no frame of ComfyUI: {error}")
            lost.__cause__ = error
            queue.put(lost)
            return
