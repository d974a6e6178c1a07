"""A ComfyUI host that misbehaves by script, on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_TIMEOUT_S = 10

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Feed = Callable[[web.WebSocketResponse, str], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """A request as it was received."""

    route: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class MisbehavingComfyUI:
    """Answers as a host does, except for the routes (such as `GET /history`) in `answers`.

    Every prompt is accepted; `feed` then sends the frames of its websocket.
    """

    feed: Feed
    answers: Mapping[str, Answer] = field(default_factory=dict)
    greets: bool = True
    prefix: str = ""
    calls: list[RecordedCall] = field(default_factory=list)
    address: str = ""
    _posted: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    _open: set[web.WebSocketResponse] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def routes(self) -> list[str]:
        """The routes that were called, in order."""
        return [call.route for call in self.calls]

    def bodies(self, route: str) -> list[Any]:
        return [call.body for call in self.calls if call.route == route]

    async def called(self, route: str) -> None:
        """Wait until a route was called."""
        await self._until(lambda: route in self.routes)

    async def wait_until_no_websocket(self) -> None:
        """Wait until no websocket is open."""
        await self._until(lambda: not self._open)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_TIMEOUT_S), self._changed:
            await self._changed.wait_for(condition)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        route = f"{request.method} /{request.path.removeprefix(self.prefix).split('/')[1]}"
        text = await request.text()
        body = json.loads(text) if text else None
        await self._record(RecordedCall(route=route, headers=request.headers, body=body))
        return await self.answers.get(route, self._default(route))(request)

    async def _record(self, call: RecordedCall) -> None:
        async with self._changed:
            self.calls.append(call)
            if call.route == "POST /prompt":
                self._posted.put_nowait(call.body["prompt_id"])
            self._changed.notify_all()

    def _default(self, route: str) -> Answer:
        match route:
            case "GET /ws":
                return self._socket
            case "GET /history":
                return answer_json({})
            case "GET /queue":
                return answer_json({"queue_running": [], "queue_pending": []})
            case "POST /api":
                return answer_json({}, 404)
            case _:
                return answer_json({"node_errors": {}})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._open.add(socket)
        sending = asyncio.create_task(self._send_feed(socket), name="feed of a misbehaving host")
        try:
            async for _ in socket:
                pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending
            self._open.discard(socket)
            async with self._changed:
                self._changed.notify_all()
        return socket

    async def _send_feed(self, socket: web.WebSocketResponse) -> None:
        if self.greets:
            await socket.send_str(frame("status", status={"exec_info": {"queue_remaining": 0}}))
        await self.feed(socket, await self._posted.get())


@asynccontextmanager
async def misbehaving(
    feed: Feed | None = None,
    answers: Mapping[str, Answer] | None = None,
    *,
    greets: bool = True,
    prefix: str = "",
) -> AsyncIterator[MisbehavingComfyUI]:
    """Run such a host; without a feed its websocket sends nothing after the first status."""
    host = MisbehavingComfyUI(
        feed=feed or sends(), answers=answers or {}, greets=greets, prefix=prefix
    )
    app = web.Application()
    app.router.add_route("*", prefix + "/{anything:.*}", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host.address = f"127.0.0.1:{runner.addresses[0][1]}{prefix}"
        yield host
    finally:
        await runner.cleanup()


def frame(event: str, **facts: Any) -> str:
    """Return a text frame."""
    return json.dumps({"type": event, "data": facts})


def sends(*frames: str | bytes | Mapping[str, Any]) -> Feed:
    """Send frames and then nothing; a mapping is an event of the posted prompt."""

    async def feed(socket: web.WebSocketResponse, prompt_id: str) -> None:
        for each in frames:
            match each:
                case str():
                    await socket.send_str(each)
                case bytes():
                    await socket.send_bytes(each)
                case _:
                    await socket.send_str(frame(**{"prompt_id": prompt_id, **each}))

    return feed


def sends_and_closes(*frames: str | bytes | Mapping[str, Any]) -> Feed:
    async def feed(socket: web.WebSocketResponse, prompt_id: str) -> None:
        await sends(*frames)(socket, prompt_id)
        await socket.close()

    return feed


STARTS: Mapping[str, Any] = {"event": "execution_start"}
SUCCEEDS: Mapping[str, Any] = {"event": "execution_success"}


def answer_json(facts: Any, status: int = 200) -> Answer:
    """Answer with JSON."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(facts, status=status)

    return answer


def answer_html(page: str, status: int = 200) -> Answer:
    """Answer with a web page, as proxies do."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=page, status=status, content_type="text/html")

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Accept the request, then break the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never_answers(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


def answer_bytes(size: int) -> Answer:
    """Answer with so many bytes, without a Content-Length."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(size // 2**20):
                await response.write(b"\0" * 2**20)
            await response.write_eof()
        return response

    return answer
