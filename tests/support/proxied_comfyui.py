"""A proxy before a ComfyUI host that calls a test at each step."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

_HOP_BY_HOP = {"Transfer-Encoding", "Content-Length", "Content-Encoding", "Connection", "Host"}

# Called with a step such as `POST /prompt`, after the host has answered and before the client gets
# the answer, or with the type of a frame. If it returns True, the client does not get it.
Watch = Callable[[str], bool]


@asynccontextmanager
async def watched(address: str, watch: Watch) -> AsyncIterator[str]:
    """Run the proxy before a host; yields the proxy's address."""
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
            body_from_host = await answer.read()
        if self._watch(f"{request.method} /{request.path.split('/')[1]}"):
            assert request.transport is not None
            request.transport.abort()
        answer_headers = {k: v for k, v in answer.headers.items() if k not in _HOP_BY_HOP}
        return web.Response(status=answer.status, body=body_from_host, headers=answer_headers)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        client_socket = web.WebSocketResponse()
        await client_socket.prepare(request)
        async with self._session.ws_connect(request.rel_url, max_msg_size=0) as host_socket:
            forwarding = asyncio.create_task(
                self._forward_frames(host_socket, client_socket), name="frames"
            )
            async for message in client_socket:
                await host_socket.send_str(message.data)
            forwarding.cancel()
            await asyncio.wait({forwarding})
        return client_socket

    async def _forward_frames(
        self, host_socket: ClientWebSocketResponse, client_socket: web.WebSocketResponse
    ) -> None:
        with suppress(ConnectionError, RuntimeError):
            async for message in host_socket:
                if message.type is WSMsgType.TEXT:
                    if not self._watch(json.loads(message.data)["type"]):
                        await client_socket.send_str(message.data)
                else:
                    await client_socket.send_bytes(message.data)
