"""HostHTTP: the HTTP calls and sockets of one host; library errors become ours here."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    TraceConfig,
    WSMsgType,
)

from imagegen.comfy.address import HostAddress
from imagegen.comfy.errors import HostLost
from imagegen.image_file import MAX_BYTES, ImageTooLarge

# Some 40 times what /object_info of a real server weighs.
_MAX_JSON = 32 * 2**20
_MAX_FRAME = 32 * 2**20
# Servers send no pings; a frozen one and a cut cable show only by a pong that does not come.
_HEARTBEAT_S = 20.0
# A slot is held while the goodbye of a websocket is awaited.
_GOODBYE_S = 1.0
_UNKNOWN_ROUTE = {404, 405}
_FEATURES = {"supports_preview_metadata": True}


class HostHTTP:
    """One session with one host; every failure to talk to it is a HostLost."""

    def __init__(
        self, address: HostAddress, *, headers: Mapping[str, str], request_timeout: float
    ) -> None:
        self.name = address.name
        self._address = address
        self._headers = dict(headers)
        self._timeout = request_timeout
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            headers=self._headers,
            timeout=ClientTimeout(total=self._timeout),
            # Slots bound what we ask at a time; a queue in the connector would be a second one.
            connector=TCPConnector(limit=0),
            trace_configs=[_without_redirects()],
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.close()

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the JSON object at `path`."""
        async with self._call("GET", path, query=query) as answer:
            self._expect_ok(answer)
            return await self._json(answer)

    async def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Give a command whose answer says nothing."""
        async with self._call("POST", path, body=body) as answer:
            self._expect_ok(answer)

    async def offers(self, path: str, body: Mapping[str, Any]) -> bool:
        """Give a command that older servers lack; return whether this one knows it."""
        async with self._call("POST", path, body=body) as answer:
            if answer.status in _UNKNOWN_ROUTE:
                return False
            self._expect_ok(answer)
            return True

    async def ask(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Post and return status and JSON of a 200 or 400; anything else is a HostLost."""
        async with self._call("POST", path, body=body) as answer:
            if answer.status != 400:
                self._expect_ok(answer)
            return answer.status, await self._json(answer)

    async def download(self, path: str, **query: str) -> bytes | None:
        """Return a file of at most 50 MiB, None if the host has it not. Raises PictureTooLarge."""
        async with self._call("GET", path, query=query) as answer:
            if answer.status == 404:
                return None
            self._expect_ok(answer)
            picture = await _body(answer, MAX_BYTES)
        if picture is None:
            raise ImageTooLarge(f"{self.name} sends a picture of more than {MAX_BYTES} bytes")
        return picture

    @asynccontextmanager
    async def socket(self, client_id: str) -> AsyncIterator[ClientWebSocketResponse]:
        """Open the event feed of one client; it is on the host's list once this yields."""
        async with await self._connected(client_id) as socket:
            # Only as the first message is it understood: previews then name their prompt.
            await self._announce(socket)
            # The handshake is over before the host has noted the socket; its first frame,
            # a status, comes after.
            await self._greeting(socket)
            yield socket

    async def _connected(self, client_id: str) -> ClientWebSocketResponse:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open.ws_connect(
                    self._address.websocket(client_id),
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=_MAX_FRAME,
                    timeout=ClientWSTimeout(ws_close=_GOODBYE_S),
                )
        except (ClientError, OSError, TimeoutError) as error:
            raise HostLost(f"{self.name} opens no websocket: {_reason(error)}") from error

    async def _announce(self, socket: ClientWebSocketResponse) -> None:
        try:
            await socket.send_json({"type": "feature_flags", "data": _FEATURES})
        except (ClientError, OSError) as error:
            raise HostLost(f"{self.name} closed its websocket at once") from error

    async def _greeting(self, socket: ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                message = await socket.receive()
        except TimeoutError:
            raise HostLost(f"{self.name} says nothing on its websocket") from None
        if message.type is not WSMsgType.TEXT:
            raise HostLost(f"{self.name} closed its websocket at once")

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ClientResponse]:
        url = self._address.url(path, **(query or {}))
        try:
            async with self._open.request(method, url, json=body) as answer:
                yield answer
        except (ClientError, OSError, TimeoutError) as error:
            raise HostLost(f"{self.name} does not answer {path}: {_reason(error)}") from error

    @property
    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError(f"the session with {self.name} is not open")
        return self._session

    def _expect_ok(self, answer: ClientResponse) -> None:
        if answer.status != 200:
            raise HostLost(f"{self.name} answers {answer.status} to {answer.url.path}")

    async def _json(self, answer: ClientResponse) -> dict[str, Any]:
        body = await _body(answer, _MAX_JSON)
        if body is None:
            raise HostLost(
                f"{self.name} answers {answer.url.path} with more than {_MAX_JSON} bytes"
            )
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HostLost(f"{self.name} answers {answer.url.path} with no JSON") from error
        if not isinstance(value, dict):
            raise HostLost(f"{self.name} answers {answer.url.path} with no JSON object")
        return value


def _without_redirects() -> TraceConfig:
    """Refuse redirects: they turn a POST into a GET, and carry our headers to another host."""

    async def refuse(*_: object) -> None:
        raise ClientError("it sends us elsewhere")

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


async def _body(answer: ClientResponse, most: int) -> bytes | None:
    """Read the answer to its end; None if it has more than `most` bytes."""
    if (answer.content_length or 0) > most:
        return None
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
