"""A language model that words scenes: any server with OpenAI's chat completions."""

import asyncio
import re
from types import TracebackType
from typing import Self

import httpx
from pydantic import BaseModel, Field, ValidationError

from imagegen.errors import Unavailable
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm_instructions import llm_messages
from imagegen.prompts.scene import Scene

TIMEOUT_S = 8.0

_TRIES = 2
_MOST_BYTES = 64 * 1024
_PASSES_SOON = {"timeout", "unreachable", "http_408", "http_429"}
_VERSION = re.compile(r"v\d+\w*")
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)


class NoScene(Unavailable):
    """The model gave no scene; `why` is short and stable, and quotes nothing.

    It is `timeout`, `unreachable`, `refused`, `nonsense` or `http_` with a status.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the language model gave no scene: {why}")
        self.why = why

    @property
    def may_pass(self) -> bool:
        """Whether asking once more may help."""
        return self.why in _PASSES_SOON or self.why.startswith("http_5")


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class LanguageModel:
    """One model on one server, open inside its `async with`.

    `url` is the server's address with or without `/v1` and `/chat/completions`. Each of two tries
    takes `timeout_s` at most, `pause_s` lies between them. Raises ValueError for an address or a
    key that cannot be one.
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
        self._model = model
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._client = httpx.AsyncClient(
            headers=_headers(api_key),
            timeout=timeout_s,
            # Like all our connections: no proxy, no .netrc of the environment.
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
        """Ask for a scene. Raises NoScene."""
        asked = {"model": self._model, "messages": llm_messages(brief), "stream": False}
        for _ in range(_TRIES - 1):
            try:
                return read_scene(await self._ask(asked))
            except NoScene as error:
                if not error.may_pass:
                    raise
            await asyncio.sleep(self._pause_s)
        return read_scene(await self._ask(asked))

    async def _ask(self, asked: dict[str, object]) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(asked)
        except (TimeoutError, httpx.TimeoutException):
            raise NoScene("timeout") from None
        except httpx.TransportError:
            raise NoScene("unreachable") from None
        except httpx.HTTPError:
            raise NoScene("nonsense") from None

    async def _post(self, asked: dict[str, object]) -> bytes:
        async with self._client.stream("POST", self._url, json=asked) as response:
            if response.status_code != httpx.codes.OK:
                raise NoScene(f"http_{response.status_code}")
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise NoScene("nonsense")
        return body


def chat_endpoint(url: str) -> str:
    """Give the address to post to. Raises ValueError."""
    try:
        given = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise ValueError("is no address") from None
    if given.scheme not in {"http", "https"} or not given.host:
        raise ValueError("must begin with http:// or https://")
    path = given.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        has_version = any(map(_VERSION.fullmatch, path.split("/")))
        path += "/chat/completions" if has_version else "/v1/chat/completions"
    return str(given.copy_with(path=path))


def read_scene(body: bytes) -> Scene:
    """Read a scene out of a chat completion. Raises NoScene."""
    try:
        choice = _Answer.model_validate_json(body).choices[0]
    except ValidationError:
        raise NoScene("nonsense") from None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise NoScene("refused")
    said = _THOUGHTS.sub("", choice.message.content or "", count=1)
    fenced = _FENCED.fullmatch(said)
    try:
        return Scene.model_validate_json(fenced[1] if fenced else said)
    except ValidationError:
        raise NoScene("nonsense") from None


def _headers(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise ValueError("the key must be plain ASCII")
    return {"Authorization": f"Bearer {api_key}"}
