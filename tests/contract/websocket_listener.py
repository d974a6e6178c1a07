"""A websocket of one client, read without a pause."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from yarl import URL


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One text frame: its type and its data."""

    kind: str
    data: dict[str, Any]

    @property
    def prompt_id(self) -> str | None:
        return self.data.get("prompt_id")

    def is_end_of(self, prompt_id: str) -> bool:
        """Tell whether it is the last frame of a prompt, however that ended."""
        is_over = self.kind == "executing" and self.data.get("node") is None
        return is_over and self.prompt_id == prompt_id


class EventListener:
    """Returns frames in their order, each once."""

    def __init__(self, socket: ClientWebSocketResponse, patience_s: float) -> None:
        self._socket = socket
        self._patience_s = patience_s
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()

    async def read_forever(self) -> None:
        """Read all frames at once: a client that stops reading blocks all clients of a server."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                event = json.loads(message.data)
                self._frames.put_nowait(Frame(kind=event["type"], data=event.get("data") or {}))
        self._frames.put_nowait(None)

    async def send_message(self, message: dict[str, Any]) -> None:
        """Send a message to the host."""
        await self._socket.send_json(message)

    async def next(self) -> Frame:
        """Return the next frame."""
        return (await self._until(lambda _frame: True, "anything"))[-1]

    async def wait_for(self, kind: str, prompt_id: str | None = None) -> Frame:
        """Read up to an event, of one prompt or of any."""

        def matches(frame: Frame) -> bool:
            return frame.kind == kind and prompt_id in (None, frame.prompt_id)

        return (await self._until(matches, f"{kind} of {prompt_id or 'any prompt'}"))[-1]

    async def wait_for_running_node(self) -> Frame:
        """Read up to the node that a host sends to a client that has reconnected."""

        def matches(frame: Frame) -> bool:
            return frame.kind == "executing" and frame.prompt_id is None

        return (await self._until(matches, "executing without a prompt id"))[-1]

    async def wait_for_end(self, prompt_id: str) -> list[Frame]:
        """Read until a prompt has ended; returns its frames."""
        frames = await self.frames_until_end(prompt_id)
        return [frame for frame in frames if frame.prompt_id == prompt_id]

    async def frames_until_end(self, prompt_id: str) -> list[Frame]:
        """Read until a prompt has ended; returns all frames, also of other prompts."""
        return await self._until(
            lambda frame: frame.is_end_of(prompt_id), f"the end of {prompt_id}"
        )

    async def _until(self, matches: Callable[[Frame], bool], what: str) -> list[Frame]:
        frames: list[Frame] = []
        try:
            async with asyncio.timeout(self._patience_s):
                while not frames or not matches(frames[-1]):
                    frame = await self._frames.get()
                    assert frame is not None, f"the socket closed before {what}"
                    frames.append(frame)
        except TimeoutError:
            kinds = [frame.kind for frame in frames]
            raise AssertionError(
                f"{what} did not come within {self._patience_s} s, after {kinds}"
            ) from None
        return frames


@asynccontextmanager
async def listening(
    session: ClientSession, url: URL, patience_s: float
) -> AsyncIterator[EventListener]:
    """Open a websocket and read it during the block."""
    async with session.ws_connect(url, max_msg_size=0) as socket:
        listener = EventListener(socket, patience_s)
        reader = asyncio.create_task(listener.read_forever(), name=f"reader of {url.path}")
        try:
            yield listener
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.result()
