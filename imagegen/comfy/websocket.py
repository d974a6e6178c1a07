"""Feed: what a host tells one client over its websocket, always drained."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import ClientWebSocketResponse, WSMsgType

from imagegen.comfy import events
from imagegen.comfy.errors import HostLost
from imagegen.comfy.events import Event
from imagegen.comfy.http import HostHTTP


class EventQueue:
    """Where the frames of a prompt arrive, from one socket after another, and wishes of ours.

    It takes everything at once: a client that stops reading stops the feed of all clients of that
    server.
    """

    def __init__(self) -> None:
        self._letters: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def put(self, letter: Event | Exception) -> None:
        """Deliver an event, or an exception for the reader to raise."""
        self._letters.put_nowait(letter)

    async def next(self, *, until: float) -> Event | None:
        """Return the next event, None if there is none until then on the loop's clock.

        Raises what was put in to be raised.
        """
        try:
            async with asyncio.timeout_at(until):
                letter = await self._letters.get()
        except TimeoutError:
            return None
        if isinstance(letter, Exception):
            raise letter
        return letter


class WebSocketLost(HostLost):
    """The websocket is closed, or says what no ComfyUI says; the host itself may be well."""


@asynccontextmanager
async def listening(http: HostHTTP, client_id: str, mailbox: EventQueue) -> AsyncIterator[None]:
    """Let all frames for a client into the mailbox while the block runs, and FeedLost at their end.

    Raises FeedLost if no websocket can be opened. Once it has closed, the server has taken the
    client off its list, so that the next socket of the same client is not struck off with it.
    """
    async with AsyncExitStack() as stack:
        try:
            socket = await stack.enter_async_context(http.socket(client_id))
        except HostLost as error:
            raise WebSocketLost(error.sentence) from error
        reading = asyncio.create_task(_read(http.name, socket, mailbox), name=f"feed {client_id}")
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def _read(host: str, socket: ClientWebSocketResponse, mailbox: EventQueue) -> None:
    while True:
        message = await socket.receive()
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            mailbox.put(WebSocketLost(f"{host} closed the websocket"))
            return
        try:
            mailbox.put(events.read(message.data))
        except events.MalformedFrame as error:
            lost = WebSocketLost(f"{host} sent what is no frame of ComfyUI: {error}")
            lost.__cause__ = error
            mailbox.put(lost)
            return
