"""Visits the status page of a worker over HTTP, as its page does in a browser."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from tests.support.patience import PATIENCE_S

TOKEN = "the token of the operator"
READ_TOKEN = "the token of a reader"


class StatusVisit:
    """Somebody at the page; `signed_in` makes one."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.visitor: dict[str, Any] = {}
        self.parts: dict[str, Any] = {}

    async def until(self, is_shown: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Follow the events from the beginning until the page shows something; return its parts."""
        self.parts = {}
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                self._session.get(f"{self._url}/status/events") as answer,
            ):
                assert answer.status == 200, await answer.text()
                name = ""
                async for line in answer.content:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        self._take(name, json.loads(value))
                        if self.parts and is_shown(self.parts):
                            return self.parts
        except TimeoutError:
            pass
        raise AssertionError(f"not shown, but {json.dumps(self.parts, indent=1)}")

    def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "visitor":
            self.visitor = data
        else:
            self.parts |= data

    async def post(self, path: str, **order: Any) -> tuple[int, dict[str, Any]]:
        """Send a change as the page does."""
        if not self.visitor:
            await self.until(bool)
        headers = {"Origin": self._url, "X-CSRF-Token": self.visitor["csrf"]}
        async with self._session.post(
            f"{self._url}/status/{path}", json=order, headers=headers
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str, bytes]:
        async with self._session.get(f"{self._url}/status/{path}") as answer:
            return answer.status, answer.content_type, await answer.read()

    async def json(self, path: str) -> dict[str, Any]:
        status, _, body = await self.get(path)
        assert status == 200, body
        read: dict[str, Any] = json.loads(body)
        return read


@asynccontextmanager
async def visiting(port: int, token: str | None = TOKEN) -> AsyncIterator[StatusVisit]:
    """Go to the page of the worker at a port, and sign in with a token if one is given."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await _until_answers(session, f"{url}/healthz")
        if token is not None:
            async with session.post(
                f"{url}/status/session", data={"token": token}, headers={"Origin": url}
            ) as answer:
                assert answer.status == 200, await answer.text()
        await _until_answers(session, f"{url}/status/events")
        yield StatusVisit(session, url)


async def _until_answers(session: aiohttp.ClientSession, url: str) -> None:
    """Ask until the worker serves the page; 503 says that it starts."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(url) as answer:
                    if answer.status != 503:
                        return
            await asyncio.sleep(0.02)
