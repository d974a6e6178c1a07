"""Plays a recorded client against a server, over real sockets."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType

from tests.comfyui_recording import Line, picture_frame

# What the recorder wrote down as "<raw>", by the note before it.
_GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "rec"}},
}
_RAW_BODIES = {
    "body not JSON": b"this is no JSON",
    "JSON body is a list": b"[]",
    "empty body": b"",
    "wrong content type, valid JSON": json.dumps({"prompt": _GRAPH}).encode(),
}

_PATIENCE_S = 10


@dataclass
class Socket:
    """One websocket of the client, and all that came through it."""

    wire: ClientWebSocketResponse
    frames: list[Any] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    pongs: int = 0

    async def read(self) -> None:
        async for message in self.wire:
            if message.type is WSMsgType.TEXT:
                self.frames.append(json.loads(message.data))
            elif message.type is WSMsgType.BINARY:
                self.frames.append(picture_frame(message.data))
            elif message.type is WSMsgType.PONG:
                self.pongs += 1
            self.grew.set()

    async def hear(self, count: int) -> None:
        """Wait until so many frames have come."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.frames) < count:
                await self._more()

    async def hear_all(self) -> None:
        """Wait until everything that is on its way has come."""
        await self.wire.ping()
        async with asyncio.timeout(_PATIENCE_S):
            while not self.pongs:
                await self._more()

    async def _more(self) -> None:
        self.grew.clear()
        await self.grew.wait()


class Replay:
    """A client that does what the recorded one did, no sooner than it did it.

    Before each action it waits until its sockets have heard as much as the recorded ones had.
    """

    def __init__(self, address: str, *, on_note: Mapping[str, Callable[[], None]]) -> None:
        self.ids: dict[str, str] = {}
        self.answers: list[Any] = []
        self.sockets: dict[str, Socket] = {}
        self._address = address
        self._on_note = on_note
        self._expected: dict[str, list[Any]] = defaultdict(list)
        self._note = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        session = ClientSession(f"http://{self._address}", timeout=ClientTimeout(_PATIENCE_S))
        self._session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    @property
    def heard(self) -> dict[str, list[Any]]:
        """Everything the server said: the HTTP answers, and the frames by socket."""
        frames = {name: socket.frames for name, socket in self.sockets.items()}
        return {"http": self.answers, **frames}

    async def play(self, lines: Sequence[Line]) -> None:
        for line in lines:
            if line.direction == "recv":
                self._expected[line.socket].append(line.data)
                continue
            await self._catch_up()
            await self._act(line)
        await self._flush()

    async def _act(self, line: Line) -> None:
        match line.direction, line.kind:
            case "note", _:
                self._note = str(line.data)
                self._on_note.get(self._note, lambda: None)()
            case "ws", "connect":
                await self._connect(line)
            case "send", "text":
                await self.sockets[line.socket].wire.send_json(line.data)
            case "http", _:
                await self._request(line)
            case other:
                raise AssertionError(other)

    async def _connect(self, line: Line) -> None:
        path = "/" + line.data["url"].split("/", 3)[3]
        wire = await self._stack.enter_async_context(self._session.ws_connect(path, autoping=False))
        socket = self.sockets[line.socket] = Socket(wire)
        reading = asyncio.create_task(socket.read(), name=f"socket {line.socket}")
        self._stack.callback(reading.cancel)

    async def _request(self, line: Line) -> None:
        method, path = line.kind.split(" ", 1)
        request = line.data["request"]
        for theirs, ours in self._names():
            path = path.replace(theirs, ours)
        body: dict[str, Any] = {"json": request}
        if request is None or request == "<raw>":
            body = {"data": None if request is None else _RAW_BODIES[self._note]}
        async with self._session.request(method, path, **body) as response:
            answer = await _answer(response)
        self.answers.append(answer)
        match answer["response"], line.data["response"]:
            case {"prompt_id": ours}, {"prompt_id": theirs}:
                self.ids[ours] = theirs
            case _:
                pass

    def _names(self) -> Iterator[tuple[str, str]]:
        """Pair the recorded names with those that this server gave: prompts and saved files."""
        for ours, theirs in self.ids.items():
            yield theirs, ours
        for name, socket in self.sockets.items():
            pairs = zip(_files(self._expected[name]), _files(socket.frames), strict=False)
            # The last file of a name counts: a number is given again once its file is gone.
            yield from dict(pairs).items()

    async def _catch_up(self) -> None:
        for name, socket in self.sockets.items():
            await socket.hear(len(self._expected[name]))

    async def _flush(self) -> None:
        """Make sure that nothing is still on its way: all that was sent has been heard."""
        await self._catch_up()
        async with self._session.ws_connect("/ws") as last:
            await last.receive_json()
            async with self._session.post("/queue", json={"clear": True}):
                # Goes to all sockets, to this one last.
                await last.receive_json()
        for socket in self.sockets.values():
            await socket.hear_all()
            socket.frames.pop()


def _files(frames: Iterable[Any]) -> Iterator[str]:
    for frame in frames:
        if frame.get("type") == "executed":
            yield from (image["filename"] for image in frame["data"]["output"]["images"])


async def _answer(response: ClientResponse) -> dict[str, Any]:
    body = await response.read()
    told: Any = body.decode(errors="replace")
    if response.content_type.startswith("image/"):
        told = {"bytes_b64_64": base64.b64encode(body[:64]).decode(), "len": len(body)}
    elif response.content_type == "application/json":
        told = json.loads(body)
    return {"status": response.status, "headers": dict(response.headers), "response": told}
