"""A proxy before a ComfyUI host that tells a test of each step, as it is taken."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

_HOP_BY_HOP = {"Transfer-Encoding", "Content-Length", "Content-Encoding", "Connection", "Host"}

# Called with a step such as `POST /prompt`, once the host has answered and before the client hears
# of it, or with the kind of a frame. True: the client hears nothing more of this.
Watch = Callable[[str], bool]


@asynccontextmanager
async def watched(address: str, watch: Watch) -> AsyncIterator[str]:
    """Run the proxy before a host; yield its own address."""
    async with ClientSession(f"http://{address}") as session:
        app = web.Application(client_max_size=100 * 2**20)
        app.router.add_route("*", "/{anything:.*}", _Proxy(session, watch).answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


class _Proxy:
    def __init__(self, session: ClientSession, watch: Watch) -> None:
        self._session = session
        self._watch = watch

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP}
        async with self._session.request(
            request.method, request.rel_url, data=body, headers=headers
        ) as answer:
            told = await answer.read()
        if self._watch(f"{request.method} /{request.path.split('/')[1]}"):
            assert request.transport is not None
            request.transport.abort()
        kept = {k: v for k, v in answer.headers.items() if k not in _HOP_BY_HOP}
        return web.Response(status=answer.status, body=told, headers=kept)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        near = web.WebSocketResponse()
        await near.prepare(request)
        async with self._session.ws_connect(request.rel_url, max_msg_size=0) as far:
            telling = asyncio.create_task(self._tell(far, near), name="frames")
            async for message in near:
                await far.send_str(message.data)
            telling.cancel()
            await asyncio.wait({telling})
        return near

    async def _tell(self, far: ClientWebSocketResponse, near: web.WebSocketResponse) -> None:
        with suppress(ConnectionError, RuntimeError):
            async for message in far:
                if message.type is WSMsgType.TEXT:
                    if not self._watch(json.loads(message.data)["type"]):
                        await near.send_str(message.data)
                else:
                    await near.send_bytes(message.data)
