"""Calls to the sandbox's Telegram as any client makes them, and people over its own routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
from PIL import Image

from imagegen.sandbox.telegram import SandboxTelegram


class BotApi:
    """A bot that gets plain answers instead of a library's errors."""

    def __init__(self, telegram: SandboxTelegram, session: aiohttp.ClientSession) -> None:
        self._telegram = telegram
        self._session = session

    async def call(self, method: str, **fields: Any) -> Any:
        """Call a method that succeeds, and return its result."""
        answer = await self.answer(method, **fields)
        assert answer["ok"], answer["description"]
        return answer["result"]

    async def refusal(self, method: str, **fields: Any) -> str:
        """Call a method that is refused, and return the description."""
        answer = await self.answer(method, **fields)
        assert not answer["ok"], answer
        return str(answer["description"])

    async def answer(self, method: str, **fields: Any) -> Any:
        """Call a method with JSON, or with a form if there is a file among the fields."""
        url = f"{self._telegram.url}/bot{self._telegram.token}/{method}"
        files = {name: value for name, value in fields.items() if isinstance(value, bytes)}
        if not files:
            async with self._session.post(url, json=fields) as answer:
                return await answer.json()
        form = aiohttp.FormData()
        for name, value in fields.items():
            if name in files:
                form.add_field(name, BytesIO(value), filename=f"{name}.png")
            else:
                form.add_field(name, value if isinstance(value, str) else str(value))
        async with self._session.post(url, data=form) as answer:
            return await answer.json()

    async def sandbox(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask a route of the sandbox itself; returns status and JSON."""
        url = f"{self._telegram.url}/sandbox{path}"
        async with self._session.request(method, url, json=body) as answer:
            return answer.status, await answer.json()

    async def download(self, path: str) -> bytes:
        """Download what getFile named."""
        url = f"{self._telegram.url}/file/bot{self._telegram.token}/{path}"
        async with self._session.get(url) as answer:
            assert answer.status == 200
            return await answer.read()

    @asynccontextmanager
    async def events(self, query: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """Open a stream of events by its path and query; yields name and data of each."""
        async with self._session.get(f"{self._telegram.url}/sandbox/chats/{query}") as answer:
            assert answer.content_type == "text/event-stream"
            yield _events(answer)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    name = ""
    async for line in answer.content:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value


def png(color: str = "teal", width: int = 64, height: int = 96) -> bytes:
    """Return a small picture."""
    kept = BytesIO()
    Image.new("RGB", (width, height), color).save(kept, "PNG")
    return kept.getvalue()


@asynccontextmanager
async def bot_api(telegram: SandboxTelegram) -> AsyncIterator[BotApi]:
    """Open a bot."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield BotApi(telegram, session)
