"""BotApiClient: one call of Telegram's Bot API. Errors of aiohttp end here, judged by how far it got.

An error of this module never shows the token, which is a part of each address: aiohttp's own errors
may name the address, so none of them is a cause of ours.
"""

import json
import secrets
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Any, Self

import certifi
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    FormData,
    Payload,
    TCPConnector,
)
from aiohttp.abc import AbstractStreamWriter

from chatflow_hook import connection_errors
from imagegen.delivery.errors import NotSent, OutcomeUnknown
from imagegen.errors import ImagegenError

# For a refusal that has no description.
NO_REASON = "without a reason"
# How long a connection may take to come about, with its wait for a free one, DNS and TLS. It ends
# before the whole call does, or nobody could say whether anything was sent.
_MAX_CONNECT_S = 10.0
_MAX_CONNECT_SHARE = 0.5
# aiohttp closes a connection that was idle for 15 s. The next one needs no new DNS query each time.
_DNS_CACHE_S = 60
# What a slow connection does not take at once is copied by asyncio: one piece of a file at most.
_PIECE_BYTES = 2**18
# A form of up to so many bytes goes to the socket as one piece.
_SMALL_BYTES = 2**16
# As HTML's form encoding has it.
_ESCAPED_IN_FILENAME = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_NO_FILES: Mapping[str, "InputFile"] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file that is sent with a call."""

    data: bytes
    filename: str


class CallRefused(Exception):
    """The Bot API has refused a call, and nothing was done; or a file was too large to reach it.

    `status`: that of HTTP. `description`: Telegram's sentence; the Bot API has no codes.
    `retry_after_s`: the pause that Telegram demands. `migrate_to_chat_id`: the supergroup that the
    group has become. Both are None if Telegram does not name them.
    """

    def __init__(
        self,
        *,
        status: int,
        description: str,
        retry_after_s: float | None = None,
        migrate_to_chat_id: int | None = None,
    ) -> None:
        super().__init__(f"{status} {description}")
        self.status = status
        self.description = description
        self.retry_after_s = retry_after_s
        self.migrate_to_chat_id = migrate_to_chat_id

    def is_bad_request(self, *parts: str) -> bool:
        """Whether Telegram refuses the call itself, with one of these parts in its sentence if any.

        The parts are in lower case. A flood wait or a group that has moved is no bad request.
        """
        if self.retry_after_s is not None or self.migrate_to_chat_id is not None:
            return False
        words = self.description.lower()
        return self.status == HTTPStatus.BAD_REQUEST and (
            not parts or any(part in words for part in parts)
        )


class BotApiClient:
    """The HTTP session of one bot. Open it with `async with`, which closes it.

    Raises ValueError if `token` is none.
    """

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        number, _, secret = token.partition(":")
        if not (number.isdigit() and secret):
            raise ValueError("the token of a bot is digits:letters")
        self.bot_id = int(number)
        self._url = f"{api_url.rstrip('/')}/bot{token}"
        self._timeout = _timeout(timeout_s)
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(ssl=self._trust(), ttl_dns_cache=_DNS_CACHE_S)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.close()

    async def call(
        self,
        method: str,
        fields: Mapping[str, Any],
        *,
        files: Mapping[str, InputFile] = _NO_FILES,
        timeout_s: float | None = None,
    ) -> Any:
        """Call a method and return the `result` of its answer, as JSON gives it.

        A field that is None is left out, within objects as well. A file that `files` has as `name` is meant by
        `attach://name` in a field. `timeout_s`: instead of that of the session.

        Raises:
            CallRefused: the Bot API answers that it does not do it.
            NotSent: it was certainly not done: no connection, a proxy's own answer, or a restart.
            OutcomeUnknown: it may have been done. The connection broke or an answer did not come in
                time, cannot be read, or has a status from 500 on.
        """
        timeout = self._timeout if timeout_s is None else _timeout(timeout_s)
        try:
            async with self._open.post(
                f"{self._url}/{method}",
                data=_form(fields, files),
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                return result_of(answer.status, await answer.read())
        except (ClientError, OSError) as error:
            problem = _error_of(error)
        raise problem

    @property
    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("open a BotApiClient with `async with`")
        return self._session

    def _trust(self) -> ssl.SSLContext | bool:
        if not self._url.startswith("https:"):
            return True
        return ssl.create_default_context(cafile=certifi.where())


def result_of(status: int, body: bytes) -> Any:
    """Return the result in an answer. Pure. Raises as `BotApiClient.call` does."""
    try:
        answer = json.loads(body)
    except ValueError:  # also for bytes that are no text
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise _foreign_answer(status)
    if answer["ok"] and status < HTTPStatus.MULTIPLE_CHOICES:
        return answer.get("result")
    raise _refusal(status, answer)


def _timeout(total_s: float) -> ClientTimeout:
    return ClientTimeout(total=total_s, connect=min(_MAX_CONNECT_S, _MAX_CONNECT_SHARE * total_s))


def _form(fields: Mapping[str, Any], files: Mapping[str, InputFile]) -> "FormData | _FormWithFiles":
    texts = {
        name: value if isinstance(value, str) else json.dumps(_without_none(value))
        for name, value in fields.items()
        if value is not None
    }
    return _FormWithFiles(texts, files) if files else FormData(texts)


class _FormWithFiles(Payload):
    """A form whose files go to the socket without a copy, and all else in one piece.

    aiohttp's own form sends each header and each value in a packet of its own.
    """

    def __init__(self, texts: Mapping[str, str], files: Mapping[str, InputFile]) -> None:
        boundary = secrets.token_hex(16)
        pieces = list(_form_pieces(boundary, texts, files))
        self._size = sum(map(len, pieces))
        if self._size <= _SMALL_BYTES:
            pieces = [b"".join(pieces)]
        super().__init__(pieces, content_type=f"multipart/form-data; boundary={boundary}")

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the form as text, which aiohttp wants of each payload and does not use here."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all, as fast as the connection takes it."""
        for piece in self._value:
            whole = memoryview(piece)
            for first in range(0, len(whole), _PIECE_BYTES):
                await writer.write(whole[first : first + _PIECE_BYTES])


def _form_pieces(
    boundary: str, texts: Mapping[str, str], files: Mapping[str, InputFile]
) -> Iterator[bytes]:
    """Yield the bytes of a form (RFC 7578): those of each file by themselves."""
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in texts.items()
    )
    for name, file in files.items():
        filename = file.filename.translate(_ESCAPED_IN_FILENAME)
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"'
            "\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        yield head.encode()
        yield file.data
        head = "\r\n"
    yield f"{head}--{boundary}--\r\n".encode()


def _without_none(value: Any) -> Any:
    match value:
        case {**fields}:
            return {name: _without_none(each) for name, each in fields.items() if each is not None}
        case [*items]:
            return [_without_none(each) for each in items]
        case _:
            return value


def _error_of(error: ClientError | OSError) -> ImagegenError:
    """Return our error for one of aiohttp, of which it keeps nothing but the reason."""
    match error:
        # Refused, unreachable, not resolved, or no answer to the connect: nothing was sent.
        case ClientConnectorError():
            reason = connection_errors.reason(error) or "cannot be reached"
            return NotSent(f"Telegram at {error.host}:{error.port} {reason}")
        case ConnectionTimeoutError():
            return NotSent("Telegram does not answer in time")
        case TimeoutError():
            return OutcomeUnknown("Telegram did not answer the send in time")
        case _:
            return OutcomeUnknown("the connection to Telegram broke during the send")


def _foreign_answer(status: int) -> Exception:
    """Return the error for an answer that is not the Bot API's, such as a proxy's page."""
    what = f"an answer {status} that is not the Bot API's"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknown(f"Telegram's server, or a proxy before it, fails: {what}")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return CallRefused(status=status, description=what)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return NotSent(f"something before Telegram refuses the call: {what}")
    return OutcomeUnknown("Telegram's answer cannot be read")


def _refusal(status: int, answer: Mapping[str, Any]) -> Exception:
    """Return the error for an answer of the Bot API that has no result."""
    description = answer.get("description")
    refused = CallRefused(
        status=status,
        description=description if isinstance(description, str) else NO_REASON,
        retry_after_s=_number(answer, "retry_after"),
        migrate_to_chat_id=_number(answer, "migrate_to_chat_id"),
    )
    is_explained = refused.retry_after_s or refused.migrate_to_chat_id
    if is_explained or status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return refused
    if "restart" in refused.description:
        return NotSent("Telegram restarts")
    return OutcomeUnknown(f"Telegram has an error of its own: {refused}")


def _number(answer: Mapping[str, Any], name: str) -> int | None:
    """Return a parameter that a refusal has; None for one that is 0 or no number."""
    match answer.get("parameters"):
        case {**parameters}:
            value = parameters.get(name)
            return value if isinstance(value, int) and value else None
        case _:
            return None
