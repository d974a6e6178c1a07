"""The event feed of one client, read without a pause."""

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
    """One text frame."""

    kind: str
    facts: dict[str, Any]

    @property
    def prompt_id(self) -> str | None:
        return self.facts.get("prompt_id")

    def is_end_of(self, prompt_id: str) -> bool:
        """Tell the last frame of a prompt, whatever came of it."""
        is_over = self.kind == "executing" and self.facts.get("node") is None
        return is_over and self.prompt_id == prompt_id


class Ear:
    """Hears frames in their order; each is heard once."""

    def __init__(self, socket: ClientWebSocketResponse, patience_s: float) -> None:
        self._socket = socket
        self._patience_s = patience_s
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()

    async def read_for_ever(self) -> None:
        """Take in what comes, wanted or not: a reader that stops blocks all clients of a server."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                said = json.loads(message.data)
                self._frames.put_nowait(Frame(kind=said["type"], facts=said.get("data") or {}))
        self._frames.put_nowait(None)

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message to the host."""
        await self._socket.send_json(message)

    async def next(self) -> Frame:
        """Give the next frame, whatever it is."""
        return (await self._until(lambda _frame: True, "anything"))[-1]

    async def hear(self, kind: str, prompt_id: str | None = None) -> Frame:
        """Listen up to an event, of one prompt or of any."""

        def is_it(frame: Frame) -> bool:
            return frame.kind == kind and prompt_id in (None, frame.prompt_id)

        return (await self._until(is_it, f"{kind} of {prompt_id or 'any prompt'}"))[-1]

    async def hear_place(self) -> Frame:
        """Listen up to the node that a host names to a socket that came back."""

        def is_it(frame: Frame) -> bool:
            return frame.kind == "executing" and frame.prompt_id is None

        return (await self._until(is_it, "executing without a prompt id"))[-1]

    async def hear_end(self, prompt_id: str) -> list[Frame]:
        """Listen until a prompt is over, and give its frames."""
        frames = await self.overhear_end(prompt_id)
        return [frame for frame in frames if frame.prompt_id == prompt_id]

    async def overhear_end(self, prompt_id: str) -> list[Frame]:
        """Listen until a prompt is over, and give all frames on the way, also of others."""
        return await self._until(
            lambda frame: frame.is_end_of(prompt_id), f"the end of {prompt_id}"
        )

    async def _until(self, is_it: Callable[[Frame], bool], what: str) -> list[Frame]:
        heard: list[Frame] = []
        try:
            async with asyncio.timeout(self._patience_s):
                while not heard or not is_it(heard[-1]):
                    frame = await self._frames.get()
                    assert frame is not None, f"the socket closed before {what}"
                    heard.append(frame)
        except TimeoutError:
            kinds = [frame.kind for frame in heard]
            raise AssertionError(
                f"{what} did not come within {self._patience_s} s, after {kinds}"
            ) from None
        return heard


@asynccontextmanager
async def listening(session: ClientSession, url: URL, patience_s: float) -> AsyncIterator[Ear]:
    """Open a socket and read it until the block ends."""
    async with session.ws_connect(url, max_msg_size=0) as socket:
        ear = Ear(socket, patience_s)
        reader = asyncio.create_task(ear.read_for_ever(), name=f"reader of {url.path}")
        try:
            yield ear
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.result()
