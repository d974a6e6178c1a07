"""The websocket feed: which clients are connected, and which frame goes to whom."""

import asyncio
import json
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from imagegen.sandbox.comfyui.faults.injection import FaultInjection
from imagegen.sandbox.comfyui.websocket.faulty_connection import FeedConnection

# The numbers of binary events with an image: bare, and with metadata before the image.
_IMAGE = 1
_IMAGE_WITH_METADATA = 4


@dataclass(frozen=True, kw_only=True)
class BinaryKind:
    """An image encoding: its number in a bare frame, its name in a frame with metadata."""

    number: int
    name: str


JPEG = BinaryKind(number=1, name="image/jpeg")
PNG = BinaryKind(number=2, name="image/png")


class WebSocketFeed:
    """All sockets of a host, by client id.

    One task sends all frames one after another, as on a real server: a client that stops reading
    stops the frames of all clients. The newest socket of a client id gets the frames. When any
    socket of that id closes, the id is removed: a newer socket stays open and gets no more frames.

    `on_event` is called with each event before it is queued.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        *,
        connection: FeedConnection | None = None,
        on_event: Callable[[str, Mapping[str, Any]], None] = lambda _event, _data: None,
    ) -> None:
        self._features = features
        self._connection = connection or FeedConnection(FaultInjection())
        self._on_event = on_event
        self._sockets: dict[object, web.WebSocketResponse] = {}
        self._client_features: dict[object, Mapping[str, Any]] = {}
        self._outgoing: asyncio.Queue[tuple[object, str | bytes]] = asyncio.Queue()

    def send(self, event: str, data: Mapping[str, Any], client_id: object = None) -> None:
        """Queue an event for one client, or for all clients if `client_id` is None."""
        self._on_event(event, data)
        frame = json.dumps({"type": event, "data": data})
        self._outgoing.put_nowait((client_id, frame))

    def send_image(
        self, image: bytes, metadata: Mapping[str, Any], client_id: object, kind: BinaryKind = PNG
    ) -> None:
        """Queue an image with metadata, for clients that announced that they understand it."""
        self._outgoing.put_nowait((client_id, _image_with_metadata(image, metadata, kind)))

    def send_bare_image(self, image: bytes, client_id: object, kind: BinaryKind = PNG) -> None:
        """Queue an image without metadata."""
        frame = struct.pack(">II", _IMAGE, kind.number) + image
        self._outgoing.put_nowait((client_id, frame))

    def wants_metadata(self, client_id: object) -> bool:
        """Tell whether the client announced `supports_preview_metadata`."""
        features = self._client_features.get(client_id, {})
        return bool(features.get("supports_preview_metadata"))

    async def send_forever(self) -> None:
        """Send the queued frames in order, until cancelled."""
        while True:
            client_id, frame = await self._outgoing.get()
            await self._connection.deliver(frame, self._listeners(client_id), _send)

    async def serve(
        self,
        request: web.Request,
        status: Callable[[], Mapping[str, Any]],
        running_node: Callable[[str], str | None],
    ) -> web.WebSocketResponse:
        """Accept a websocket, send the first frames, and read from it until it closes.

        `running_node` returns the node of the client's running prompt, None if it has none.
        """
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        self._sockets[client_id] = socket
        self._client_features[client_id] = {}
        self._connection.opened(socket, request, client_id)
        try:
            await _send(socket, _frame("status", {"status": status(), "sid": client_id}))
            if (node := running_node(client_id)) is not None:
                await _send(socket, _frame("executing", {"node": node}))
            await self._listen(socket, client_id)
        finally:
            self._sockets.pop(client_id, None)
            self._client_features.pop(client_id, None)
            self._connection.closed(socket)
        return socket

    def clear(self) -> None:
        """Remove all clients and all frames that were not sent."""
        self._sockets.clear()
        self._client_features.clear()
        self._outgoing = asyncio.Queue()

    async def _listen(self, socket: web.WebSocketResponse, client_id: str) -> None:
        is_first = True
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            event = _parse_object(message.data)
            if is_first and event.get("type") == "feature_flags":
                self._client_features[client_id] = event.get("data", {})
                await _send(socket, _frame("feature_flags", self._features))
            is_first = False

    def _listeners(self, client_id: object) -> list[web.WebSocketResponse]:
        if client_id is None:
            return list(self._sockets.values())
        socket = self._sockets.get(client_id)
        return [] if socket is None else [socket]


def _frame(event: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": event, "data": data})


def _image_with_metadata(image: bytes, metadata: Mapping[str, Any], kind: BinaryKind) -> bytes:
    encoded = json.dumps({**metadata, "image_type": kind.name}).encode()
    return struct.pack(">II", _IMAGE_WITH_METADATA, len(encoded)) + encoded + image


def _parse_object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def _send(socket: web.WebSocketResponse, frame: str | bytes) -> None:
    try:
        if isinstance(frame, str):
            await socket.send_str(frame)
        else:
            await socket.send_bytes(frame)
    except (ConnectionError, RuntimeError):
        # The client has disconnected between two frames; `serve` removes it.
        return
