"""HostHTTP: HTTP calls and websockets of one host; errors of aiohttp become HostLost here."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    CookieJar,
    FormData,
    TCPConnector,
    TraceConfig,
    WSMsgType,
)

from chatflow_hook import connection_errors
from imagegen.comfy.address import HostAddress
from imagegen.comfy.errors import HostLost
from imagegen.image_file import MAX_BYTES, ImageTooLarge

# In bytes; about 40 times the /object_info of a real server.
_MAX_JSON = 32 * 2**20
_MAX_FRAME = 32 * 2**20
# Servers send no pings: a frozen host or a broken connection is noticed only by our own ping
# that is not answered.
_HEARTBEAT_S = 20.0
# How long the closing handshake of a websocket may take. A slot is held meanwhile.
_CLOSE_TIMEOUT_S = 1.0
_UNKNOWN_ROUTE = {404, 405}
_ELSEWHERE = "it sends us elsewhere"
_FEATURES = {"supports_preview_metadata": True}


class HostHTTP:
    """One HTTP session with one host; open it with `async with`.

    `request_timeout` bounds each call, in seconds. Every method raises HostLost if the host does
    not answer in time, or answers with something else than it should.
    """

    def __init__(
        self, address: HostAddress, *, headers: Mapping[str, str], request_timeout: float
    ) -> None:
        self.name = address.name
        self._address = address
        self._headers = dict(headers)
        self._timeout = request_timeout
        self._session: ClientSession | None = None
        self._websockets: ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No limit: the slots bound the number of calls, and calls that wait in the connector would
        # use up their timeout there.
        connector, cookies = TCPConnector(limit=0), CookieJar()
        open_session = partial(
            ClientSession,
            headers=self._headers,
            timeout=ClientTimeout(total=self._timeout),
            connector=connector,
            cookie_jar=cookies,
        )
        self._session = open_session()
        # A call is told by an argument that it follows no redirect, and a websocket only by a trace,
        # which costs each call of its session some time.
        self._websockets = open_session(connector_owner=False, trace_configs=[_without_redirects()])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open(self._websockets).close()
        await self._open(self._session).close()

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the JSON object at `path`.

        Raises:
            HostLost: the host does not answer with status 200 and a JSON object.
        """
        async with self._call("GET", path, query=query) as answer:
            self._expect_ok(answer)
            return await self._json(answer)

    async def time_s(self) -> float:
        """Return the time of the host in seconds since the epoch, to the half second at best.

        Raises:
            HostLost: the host does not answer with status 200 and the header Date.
        """
        async with self._call("GET", "/prompt") as answer:
            self._expect_ok(answer)
            date = answer.headers.get("Date", "")
        try:
            # The header has whole seconds, so the middle of the second is nearest.
            return parsedate_to_datetime(date).timestamp() + 0.5
        except ValueError as error:
            raise HostLost(f"{self.name} does not tell its time") from error

    async def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Send a command and ignore the body of the answer.

        Raises:
            HostLost: the host does not answer with status 200.
        """
        async with self._call("POST", path, body=body) as answer:
            self._expect_ok(answer)

    async def post_if_supported(self, path: str, body: Mapping[str, Any]) -> bool:
        """Send a command that older servers lack; return False if this server lacks it.

        Raises:
            HostLost: the host answers with another status than 200, 404 and 405, or not at all.
        """
        async with self._call("POST", path, body=body) as answer:
            if answer.status in _UNKNOWN_ROUTE:
                return False
            self._expect_ok(answer)
            return True

    async def post_json(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Post and return the status, 200 or 400, and the JSON object of the answer.

        Raises:
            HostLost: the host answers with another status, no JSON object, or not at all.
        """
        async with self._call("POST", path, body=body) as answer:
            if answer.status != 400:
                self._expect_ok(answer)
            return answer.status, await self._json(answer)

    async def download(self, path: str, **query: str) -> bytes | None:
        """Return the bytes of a file of at most 50 MiB, None if the host does not have it.

        Raises:
            ImageTooLarge: the file is larger.
            HostLost: the host answers with another status than 200 and 404, or not at all.
        """
        async with self._call("GET", path, query=query) as answer:
            if answer.status == 404:
                return None
            self._expect_ok(answer)
            data = await _body(answer, MAX_BYTES)
        if data is None:
            raise ImageTooLarge(f"{self.name} sends a picture of more than {MAX_BYTES} bytes")
        return data

    async def size_of(self, path: str, **query: str) -> int | None:
        """Return how many bytes a file on the host has, None if the host does not have it.

        Raises:
            HostLost: the host answers with another status than 200 and 404, or not at all.
        """
        async with self._call("HEAD", path, query=query) as answer:
            if answer.status == 404:
                return None
            self._expect_ok(answer)
            return answer.content_length

    async def upload(self, path: str, filename: str, data: bytes, **fields: str) -> dict[str, Any]:
        """Upload an image file as a form, and return the JSON object of the answer.

        It is empty if the host refuses the file, with a status from 400 to 499.

        Raises:
            HostLost: the host answers with another status, no JSON object, or not at all.
        """
        form = FormData(fields)
        form.add_field("image", data, filename=filename)
        async with self._call("POST", path, form=form) as answer:
            if 400 <= answer.status < 500:
                return {}
            self._expect_ok(answer)
            return await self._json(answer)

    @asynccontextmanager
    async def socket(
        self, client_id: str, *, within_s: float
    ) -> AsyncIterator[ClientWebSocketResponse]:
        """Open the websocket of one client and close it after the block.

        When this yields, the host has the client on its list and sends it the events of its
        prompts. The caller must keep reading: see EventQueue.

        Raises:
            HostLost: within `within_s`, or the time of one call if that is shorter, the host opens
                no websocket or sends nothing on it; or it closes it at once.
        """
        ends_at = asyncio.get_running_loop().time() + min(within_s, self._timeout)
        async with await self._connect(client_id, ends_at) as socket:
            # The host reads feature flags in the first message only. With them, previews name
            # their prompt and node.
            await self._send_features(socket)
            # The handshake ends before the host has put the client on its list. Its first frame,
            # a status, is sent after that.
            await self._read_first_frame(socket, ends_at)
            yield socket

    async def _connect(self, client_id: str, ends_at: float) -> ClientWebSocketResponse:
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._open(self._websockets).ws_connect(
                    self._address.websocket(client_id),
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=_MAX_FRAME,
                    timeout=ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                )
        except (ClientError, OSError, TimeoutError) as error:
            raise HostLost(f"{self.name} opens no websocket: {_reason(error)}") from error

    async def _send_features(self, socket: ClientWebSocketResponse) -> None:
        try:
            await socket.send_json({"type": "feature_flags", "data": _FEATURES})
        except (ClientError, OSError) as error:
            raise HostLost(f"{self.name} closed its websocket at once") from error

    async def _read_first_frame(self, socket: ClientWebSocketResponse, ends_at: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at):
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
        form: FormData | None = None,
    ) -> AsyncIterator[ClientResponse]:
        url = self._address.url(path, **(query or {}))
        session = self._open(self._session)
        try:
            async with session.request(
                method, url, json=body, data=form, allow_redirects=False
            ) as answer:
                _refuse_redirect(answer)
                yield answer
        except (ClientError, OSError, TimeoutError) as error:
            raise HostLost(f"{self.name} does not answer {path}: {_reason(error)}") from error

    def _open(self, session: ClientSession | None) -> ClientSession:
        if session is None:
            raise RuntimeError(f"the session with {self.name} is not open")
        if session.closed:
            raise HostLost(f"{self.name} is no host of ours any more")
        return session

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


def _refuse_redirect(answer: ClientResponse) -> None:
    """Raise for an answer that would turn a POST into a GET, and send our headers elsewhere."""
    if 300 <= answer.status < 400:
        raise ClientError(_ELSEWHERE)


def _without_redirects() -> TraceConfig:
    async def refuse(*_: object) -> None:
        raise ClientError(_ELSEWHERE)

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


async def _body(answer: ClientResponse, max_bytes: int) -> bytes | None:
    """Read the body of an answer; None if it has more than `max_bytes`."""
    if (answer.content_length or 0) > max_bytes:
        return None
    chunks, size = list[bytes](), 0
    async for chunk in answer.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            return None
    return b"".join(chunks)


def _reason(error: BaseException) -> str:
    return connection_errors.reason(error) or str(error) or type(error).__name__
