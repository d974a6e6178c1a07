"""A server with chat completions on a free port, which answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.llm_answers import completion

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ChatServer:
    """Answers one after the other, the last for ever; keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.url = ""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        return await answer(request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ChatServer"]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/"))
            yield self


def says(content: Any) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(completion(content))

    return answer


async def silence(_: web.Request) -> web.StreamResponse:
    """Keep the client waiting until it goes."""
    await asyncio.Event().wait()
    raise AssertionError


async def drops(request: web.Request) -> web.StreamResponse:
    """Cut the line in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def trickles(request: web.Request) -> web.StreamResponse:
    """Send the beginning of an answer and then no more, so that no single read is too slow."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)
