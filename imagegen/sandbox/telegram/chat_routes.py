"""The sandbox's own routes: a person in the chats, and the faults, over HTTP.

They are the sandbox's, not Telegram's: no fault affects them. Bodies are JSON and have to say so in
`Content-Type`, so that no page of another site can send them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from json import dumps
from typing import Any, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.events import ChatEvent, ChatEvents
from imagegen.sandbox.telegram.fault_text import parse_fault
from imagegen.sandbox.telegram.faults import TroubleScript
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.person import ChatPerson

# A comment so often tells both sides that a silent connection still stands.
_HEARTBEAT_S = 15.0
_CHAT = r"/sandbox/chats/{chat_id:-?\d{1,20}}"

BodyT = TypeVar("BodyT", bound=BaseModel)


class PersonFactory(Protocol):
    """Makes a person of a chat, as `SandboxTelegram.person` does."""

    def __call__(
        self,
        user_id: int,
        *,
        chat_id: int | None = None,
        name: str | None = None,
        language_code: str = "en",
    ) -> ChatPerson: ...


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: int | None = None
    name: str | None = None
    language_code: str = "en"


class _Written(_Body):
    text: str
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None


class _Pressed(_Body):
    message_id: int
    button: str


class _Stopped(_Body):
    draft_id: int


class _Faults(BaseModel):
    model_config = ConfigDict(extra="forbid")

    faults: list[str]


class ChatRoutes:
    """The routes; `add_to` adds them to an application."""

    def __init__(
        self,
        *,
        chats: Chats,
        events: ChatEvents,
        script: TroubleScript,
        person: PersonFactory,
    ) -> None:
        self._chats = chats
        self._events = events
        self._script = script
        self._person = person

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("GET", "/sandbox/chats", self._list),
            ("GET", f"{_CHAT}/messages", self._messages),
            ("POST", f"{_CHAT}/messages", self._write),
            ("POST", f"{_CHAT}/presses", self._press),
            ("POST", f"{_CHAT}/stops", self._stop),
            ("GET", f"{_CHAT}/events", self._stream),
            ("GET", "/sandbox/faults", self._faults),
            ("POST", "/sandbox/faults", self._add_faults),
            ("DELETE", "/sandbox/faults", self._remove_faults),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)

    async def _list(self, _: web.Request) -> web.Response:
        shown = [
            {
                **self._chats.describe_chat(chat_id),
                "last_message": self._shown([*messages.values()][-1]),
            }
            for chat_id, messages in self._chats.current.items()
            if messages
        ]
        return web.json_response({"chats": shown})

    async def _messages(self, request: web.Request) -> web.Response:
        chat_id, viewer = _chat_id(request), _viewer(request)
        if viewer is None:
            messages = [*self._chats.current[chat_id].values()]
            messages += self._chats.ephemeral[chat_id].values()
            messages.sort(key=lambda message: message.when)
        else:
            messages = self._person(viewer, chat_id=chat_id).messages()
        drafts = [draft for draft in self._chats.drafts.values() if draft.chat_id == chat_id]
        return web.json_response(
            {
                "chat": self._chats.describe_chat(chat_id),
                "commands": self._chats.commands.shown(
                    chat_id=chat_id,
                    user_id=abs(chat_id) if viewer is None else viewer,
                    language=request.query.get("language_code", ""),
                ),
                "messages": [self._shown(message) for message in messages],
                "drafts": [draft.described for draft in drafts],
                "last_event": self._events.last_number,
            }
        )

    async def _write(self, request: web.Request) -> web.Response:
        body = await _read(request, _Written)
        try:
            number = self._who(request, body).write(
                body.text,
                reply_to=body.reply_to_message_id,
                message_thread_id=body.message_thread_id,
            )
        except SandboxError as error:
            raise _refused(web.HTTPBadRequest, error) from error
        return web.json_response({"message_id": number})

    async def _press(self, request: web.Request) -> web.Response:
        body = await _read(request, _Pressed)
        try:
            query_id = self._who(request, body).press(body.message_id, body.button)
        except SandboxError as error:
            raise _refused(web.HTTPNotFound, error) from error
        return web.json_response({"callback_query_id": query_id})

    async def _stop(self, request: web.Request) -> web.Response:
        body = await _read(request, _Stopped)
        try:
            self._who(request, body).stop(body.draft_id)
        except SandboxError as error:
            raise _refused(web.HTTPNotFound, error) from error
        return web.json_response({})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        chat_id, viewer = _chat_id(request), _viewer(request)
        number = _first_event(request, self._events.last_number)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        if not self._events.is_kept_since(number, chat_id):
            number = self._events.last_number
            await response.write(f"id: {number}\nevent: reload\ndata: {{}}\n\n".encode())
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    events = await self._events.wait_after(number, chat_id, viewer)
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            for event in events:
                await response.write(_as_text(event))
                number = event.number

    async def _faults(self, _: web.Request) -> web.Response:
        return web.json_response({"waiting": [each.text for each in self._script.waiting]})

    async def _add_faults(self, request: web.Request) -> web.Response:
        body = await _read(request, _Faults)
        try:
            self._script.add(*[parse_fault(text) for text in body.faults])
        except SandboxError as error:
            raise _refused(web.HTTPBadRequest, error) from error
        return await self._faults(request)

    async def _remove_faults(self, request: web.Request) -> web.Response:
        self._script.clear()
        return await self._faults(request)

    def _who(self, request: web.Request, body: _Body) -> ChatPerson:
        chat_id = _chat_id(request)
        user_id = body.user_id or abs(chat_id)
        return self._person(
            user_id, chat_id=chat_id, name=body.name, language_code=body.language_code
        )

    def _shown(self, message: ChatMessage) -> dict[str, Any]:
        return {**self._chats.described(message), "reactions": list(message.reactions)}


def _chat_id(request: web.Request) -> int:
    return int(request.match_info["chat_id"])


def _viewer(request: web.Request) -> int | None:
    text = request.query.get("user_id", "")
    return int(text) if text.isdecimal() else None


def _first_event(request: web.Request, last_number: int) -> int:
    """Return the event after which the stream begins; without one it begins now."""
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    return int(text) if text.isdecimal() else last_number


async def _read(request: web.Request, body: type[BodyT]) -> BodyT:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        return body.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise _refused(web.HTTPBadRequest, f"{where}: {first['msg']}") from error


def _refused(kind: type[web.HTTPException], why: object) -> web.HTTPException:
    return kind(text=dumps({"error": str(why)}), content_type="application/json")


def _as_text(event: ChatEvent) -> bytes:
    return f"id: {event.number}\nevent: {event.type}\ndata: {dumps(event.data)}\n\n".encode()
