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
    TCPConnector,
)

from imagegen.comfy.address import HostAddress
from imagegen.comfy.errors import HostLost, PictureTooLarge

# Some 40 times what /object_info of a real server weighs.
_MAX_JSON = 32 * 2**20
_MAX_FRAME = 32 * 2**20
_MAX_PICTURE = 50 * 2**20
# Servers send no pings; a frozen one and a cut cable show only by a pong that does not come.
_HEARTBEAT_S = 20.0


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
            return await self._body(answer, _MAX_PICTURE)

    @asynccontextmanager
    async def socket(self, client_id: str) -> AsyncIterator[ClientWebSocketResponse]:
        """Open the event feed of one client; it is on the host's list once this yields."""
        try:
            async with asyncio.timeout(self._timeout):
                socket = await self._open.ws_connect(
                    self._address.websocket(client_id),
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=_MAX_FRAME,
                )
                # The handshake is over before the host has noted the socket; its first frame,
                # a status, comes after.
                await socket.receive()
        except (ClientError, OSError, TimeoutError) as error:
            raise HostLost(f"{self.name} opens no websocket: {_reason(error)}") from error
        async with socket:
            yield socket

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
        if answer.status >= 400:
            raise HostLost(f"{self.name} answers {answer.status} to {answer.url.path}")

    async def _json(self, answer: ClientResponse) -> dict[str, Any]:
        body = await self._body(answer, _MAX_JSON)
        try:
            value = json.loads(body)
        except ValueError as error:
            raise HostLost(f"{self.name} answers {answer.url.path} with no JSON") from error
        if not isinstance(value, dict):
            raise HostLost(f"{self.name} answers {answer.url.path} with no JSON object")
        return value

    async def _body(self, answer: ClientResponse, most: int) -> bytes:
        if (answer.content_length or 0) > most:
            raise PictureTooLarge(f"{self.name} sends {answer.content_length} bytes")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > most:
                raise PictureTooLarge(f"{self.name} sends more than {most} bytes")
        return bytes(body)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
