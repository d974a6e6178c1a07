"""Asks a language model to describe a scene; any server with OpenAI's chat completions API will do."""

import asyncio
import re
from types import TracebackType
from typing import Self

import httpx
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import from_json

from chatflow_hook import connection_errors
from imagegen.errors import Unavailable
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm_instructions import llm_messages
from imagegen.prompts.scene import Scene

TIMEOUT_S = 8.0
# The `why` of a NoScene, and the key with which a model says that somebody under 18 is meant.
MINOR = "minor"

_ATTEMPTS = 2
_MAX_RESPONSE_BYTES = 64 * 1024
# Reasons for which a second attempt may succeed, as may one after a status of 5xx.
_TEMPORARY = {"timeout", "unreachable", "http_408", "http_429"}
_API_VERSION = re.compile(r"v\d+\w*")
# What a model may write around its JSON: its reasoning before it, and a code fence.
_REASONING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_CODE_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
# What a model answers under the key `minor` if nobody under 18 is meant.
_NO_MINOR = (False, None, "false", "no")


class NoScene(Unavailable):
    """The model gave no scene that can be used; `why` is a stable code and quotes nothing.

    `detail` is the address of the server and what happened, None if the server answered. `why` is
    `timeout`, `unreachable`, `refused`, `nonsense` (no valid answer) or `http_` with a
    status, or `minor` (the model says that somebody under 18 is meant); or, set by PromptBuilder,
    `bare`, `unread` or `screened`. `text` is what was thrown away, None if there is none: for a hash
    only.
    """

    def __init__(self, why: str, *, detail: str | None = None, text: str | None = None) -> None:
        super().__init__(f"the language model gave no scene: {detail or why}")
        self.why = why
        self.detail = detail
        self.text = text

    @property
    def may_pass(self) -> bool:
        """Whether a second attempt may succeed."""
        return self.why in _TEMPORARY or self.why.startswith("http_5")


class _ChatMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None


class _ChatCompletion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class LanguageModel:
    """One model on one server; its connections are open inside its `async with`.

    `url` is the server's address with or without `/v1` and `/chat/completions`. Each of two
    attempts takes at most `timeout_s`, with a pause of `pause_s` between them. `server` is the
    server's address without path, user and password.

    Raises:
        ValueError: `url` is no address, or `api_key` is not plain ASCII.
    """

    def __init__(
        self,
        *,
        url: str,
        model: str,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = 0.2,
    ) -> None:
        self._url = chat_endpoint(url)
        self.server = _server(self._url)
        self._model = model
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._client = httpx.AsyncClient(
            headers=_headers(api_key),
            timeout=timeout_s,
            # As with all our connections, proxies and .netrc of the environment are ignored.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def scene(self, brief: Brief) -> Scene:
        """Ask for a scene; once more if the first attempt failed for a reason that may pass.

        Raises:
            NoScene: the server did not answer, or its answer is no scene.
        """
        request = {"model": self._model, "messages": llm_messages(brief), "stream": False}
        for _ in range(_ATTEMPTS - 1):
            try:
                return read_scene(await self._request(request))
            except NoScene as error:
                if not error.may_pass:
                    raise
            await asyncio.sleep(self._pause_s)
        return read_scene(await self._request(request))

    async def _request(self, request: dict[str, object]) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(request)
        except (TimeoutError, httpx.TimeoutException):
            raise NoScene("timeout", detail=f"{self.server} does not answer in time") from None
        except httpx.TransportError as error:
            reason = connection_errors.reason(error) or f"failed: {type(error).__name__}"
            raise NoScene("unreachable", detail=f"{self.server} {reason}") from None
        except httpx.HTTPError:
            raise NoScene("nonsense") from None

    async def _post(self, request: dict[str, object]) -> bytes:
        async with self._client.stream("POST", self._url, json=request) as response:
            if response.status_code != httpx.codes.OK:
                status = response.status_code
                raise NoScene(f"http_{status}", detail=f"{self.server} answers {status}")
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_RESPONSE_BYTES:
                    raise NoScene("nonsense")
        return body


def chat_endpoint(url: str) -> str:
    """Return the URL of the chat completions of a server's address.

    Raises:
        ValueError: `url` is no http or https address.
    """
    try:
        server = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise ValueError("is no address") from None
    if server.scheme not in {"http", "https"} or not server.host:
        raise ValueError("must begin with http:// or https://")
    path = server.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        has_version = any(map(_API_VERSION.fullmatch, path.split("/")))
        path += "/chat/completions" if has_version else "/v1/chat/completions"
    return str(server.copy_with(path=path))


def _server(url: str) -> str:
    """Return the server's address without path, user and password."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode()}"


def read_scene(body: bytes) -> Scene:
    """Read the scene in the body of a chat completion.

    Raises:
        NoScene: the model refused or says that a minor is meant, or the body is no completion with
            a scene.
    """
    try:
        choice = _ChatCompletion.model_validate_json(body).choices[0]
    except ValidationError:
        raise NoScene("nonsense") from None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise NoScene("refused")
    content = _REASONING.sub("", choice.message.content or "", count=1)
    fenced = _CODE_FENCE.fullmatch(content)
    try:
        answer = from_json(fenced[1] if fenced else content)
        # Read before the phrases, since it counts whatever they are; all but a clear "no" is a "yes".
        if isinstance(answer, dict) and answer.pop(MINOR, False) not in _NO_MINOR:
            raise NoScene(MINOR, text=content)
        return Scene.model_validate(answer)
    except ValueError:
        raise NoScene("nonsense") from None


def _headers(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise ValueError("the key must be plain ASCII")
    return {"Authorization": f"Bearer {api_key}"}
