"""The routes of the status page. The page itself is static and reads what these answer as JSON.

GET  /                         the page, or its form to sign in
GET  /status/page/{name}       its scripts and styles
POST /status/session           sign in, by the form
POST /status/session/end       sign out
GET  /status/events            what it shows, as server-sent events
GET  /status/requests/{id}     the way of one request
GET  /status/pictures/{id}     a picture, for who has signed in, at `safe` only;
                               with ?blurred so small that nobody can tell what it shows
POST /status/retry             put failed requests back into the queue
POST /status/pause             pause or resume
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from imagegen.errors import ImagegenError, Unavailable
from imagegen.monitoring.status.access import COOKIE, SESSION_S, StatusAccess, Visitor
from imagegen.monitoring.status.actions import (
    ActionOutcome,
    PauseOrder,
    RetryOrder,
    StatusActions,
)
from imagegen.monitoring.status.blurred import BlurredImages
from imagegen.monitoring.status.request_view import request_view
from imagegen.monitoring.status.snapshot import FRESH_S, Snapshots
from imagegen.monitoring.status.status_queries import StatusQueries
from imagegen.pool.pool import Pool
from imagegen.requests.queries import RequestNotFound, RequestQueries
from imagegen.storage.store import ImageLost, ImageStore

log = structlog.get_logger(__name__)

OrderT = TypeVar("OrderT", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VisitorHandler = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]

_PAGE = Path(__file__).with_name("page")
_CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
# A comment so often tells both sides that a silent connection still stands.
_HEARTBEAT_S = 15.0
_END_WITHIN_S = 1.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer a browser would send the form with the Origin null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NOT_OFFERED = (
    "The status page is not shown: set STATUS_TOKEN, or STATUS_PROXY_HEADER if a proxy signs"
    " people in, or bind WEB_HOST to 127.0.0.1."
)
_WRONG_TOKEN = b'<p id="wrong" role="alert">That is not the token.</p>'


@dataclass(frozen=True, kw_only=True)
class StatusParts:
    """What the routes use once the worker has started."""

    snapshots: Snapshots
    actions: StatusActions
    queries: StatusQueries
    requests: RequestQueries
    pool: Pool
    images: ImageStore
    blurred: BlurredImages


class StatusPage:
    """The page of one worker; it says that the worker starts until `showing` begins."""

    def __init__(self, access: StatusAccess) -> None:
        self._access = access
        self._parts: StatusParts | None = None
        self._visits: set[asyncio.Task[Any]] = set()
        self._files = {path.name: path.read_bytes() for path in _PAGE.iterdir()}

    @asynccontextmanager
    async def showing(self, parts: StatusParts) -> AsyncIterator[None]:
        """Show what these parts read while the block runs; its end ends all that still read."""
        self._parts = parts
        try:
            yield
        finally:
            self._parts = None
            for visit in self._visits:
                visit.cancel()
            if self._visits:
                await asyncio.wait(self._visits, timeout=_END_WITHIN_S)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for the worker's HTTP server."""
        change = self._for_operators
        return [
            web.get("/", self._page),
            web.get("/status/page/{name}", self._file),
            web.post("/status/session", self._sign_in),
            web.post("/status/session/end", self._sign_out),
            web.get("/status/events", self._for_visitors(self._events)),
            web.get("/status/requests/{id}", self._for_visitors(self._request)),
            web.get("/status/pictures/{id}", self._for_visitors(self._picture)),
            web.post("/status/retry", change(RetryOrder, lambda parts: parts.actions.retry)),
            web.post("/status/pause", change(PauseOrder, lambda parts: parts.actions.pause)),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        if not self._access.is_offered:
            return web.Response(text=_NOT_OFFERED, status=403, headers=_HEADERS)
        if self._access.visitor(request) is not None:
            return self._give("status.html")
        if not self._access.tokens:
            return web.Response(
                text="The proxy has not said who you are.", status=403, headers=_HEADERS
            )
        page = self._give("login.html")
        page.set_status(401)
        if "wrong" in request.query:
            page.body = self._files["login.html"].replace(b"<!-- wrong -->", _WRONG_TOKEN)
        return page

    async def _file(self, request: web.Request) -> web.Response:
        if (name := request.match_info["name"]) not in self._files:
            return _refusal(404, "there is no such file")
        return self._give(name)

    async def _sign_in(self, request: web.Request) -> web.Response:
        if not self._access.is_from_the_page(request):
            return _refusal(403, "sent by another site")
        token = str((await request.post()).get("token", ""))
        cookie = self._access.sign_in(token.strip())
        # Relative, so that it is right behind a proxy with a prefix too.
        answer = web.Response(
            status=303, headers={**_HEADERS, "Location": "../" if cookie else "../?wrong"}
        )
        if cookie is None:
            log.warning("wrong token on the status page", remote=request.remote)
            return answer
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=request.secure or (self._access.served_at or "").startswith("https:"),
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        if not self._access.is_from_the_page(request):
            return _refusal(403, "sent by another site")
        answer = web.Response(status=303, headers={**_HEADERS, "Location": "../../"})
        answer.del_cookie(COOKIE)
        return answer

    def _for_visitors(self, handler: VisitorHandler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            visitor = self._access.visitor(request)
            if visitor is None:
                return _refusal(401, "sign in")
            with self._visit():
                try:
                    return await handler(request, visitor)
                except Unavailable as error:
                    return _refusal(503, error.sentence)

        return handle

    @contextmanager
    def _visit(self) -> Iterator[None]:
        visit = asyncio.current_task()
        assert visit is not None  # noqa: S101 (a coroutine runs in a task)
        self._visits.add(visit)
        try:
            yield
        finally:
            self._visits.discard(visit)

    def _for_operators(
        self,
        form: type[OrderT],
        method: Callable[[StatusParts], Callable[[OrderT], Awaitable[ActionOutcome]]],
    ) -> Handler:
        async def carry_out(request: web.Request, visitor: Visitor) -> web.Response:
            if not self._access.may_change(request, visitor):
                return _refusal(403, "only an operator may change something, on this page")
            try:
                order = form.model_validate_json(await request.read())
            except ValidationError:
                return _refusal(400, "that is no order")
            parts = self._started()
            try:
                outcome = await method(parts)(order)
            except Unavailable:
                raise
            except ImagegenError as error:
                return _refusal(400, error.sentence)
            parts.snapshots.expire()
            return web.json_response(asdict(outcome), headers=_HEADERS)

        return self._for_visitors(carry_out)

    async def _events(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """Send what has changed, part by part, for as long as somebody looks."""
        snapshots = self._started().snapshots
        response = web.StreamResponse(
            headers={
                **_HEADERS,
                "Content-Type": "text/event-stream",
                # nginx would hold events back.
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        visit = {
            "role": visitor.role,
            "is_signed_in": visitor.is_signed_in,
            "has_session": COOKIE in request.cookies and visitor.is_signed_in,
            "csrf": visitor.csrf,
            "now": datetime.now(UTC).isoformat(),
        }
        with suppress(ConnectionResetError):
            await response.write(_event("visitor", visit))
            sent: dict[str, str] = {}
            silent_s = 0.0
            # A session that ends while somebody looks ends what they see.
            while self._access.visitor(request) is not None:
                packed = {
                    name: json.dumps(part) for name, part in (await snapshots.latest()).items()
                }
                changed = {name: text for name, text in packed.items() if sent.get(name) != text}
                if changed:
                    await response.write(_parts_event(changed))
                    sent, silent_s = packed, 0.0
                elif silent_s >= _HEARTBEAT_S:
                    await response.write(b": still here\n\n")
                    silent_s = 0.0
                await asyncio.sleep(FRESH_S)
                silent_s += FRESH_S
        return response

    async def _request(self, request: web.Request, _: Visitor) -> web.Response:
        parts, request_id = self._started(), _request_id(request)
        if request_id is None:
            return _refusal(404, "there is no such request")
        try:
            view = await request_view(parts.requests, parts.pool, request_id)
        except RequestNotFound as error:
            return _refusal(404, error.sentence)
        return web.json_response(view, headers=_HEADERS)

    async def _picture(self, request: web.Request, visitor: Visitor) -> web.Response:
        if not visitor.is_signed_in:
            return _refusal(403, "pictures are shown to who has signed in")
        parts, request_id = self._started(), _request_id(request)
        name = None if request_id is None else await parts.queries.showable_image(request_id)
        if name is None:
            return _refusal(404, "there is no such picture")
        try:
            if "blurred" in request.query:
                data, kind = await parts.blurred.get(name), "png"
            else:
                data, kind = await parts.images.get(name), name.rpartition(".")[2]
        except ImageLost:
            return _refusal(404, "there is no such picture")
        return web.Response(body=data, content_type=f"image/{kind}", headers=_HEADERS)

    def _started(self) -> StatusParts:
        if self._parts is None:
            raise Unavailable("the worker starts")
        return self._parts

    def _give(self, name: str) -> web.Response:
        kind = _CONTENT_TYPES[Path(name).suffix]
        return web.Response(
            body=self._files[name], content_type=kind, charset="utf-8", headers=_HEADERS
        )


def _request_id(request: web.Request) -> UUID | None:
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        return None


def _refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers=_HEADERS)


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _parts_event(packed: dict[str, str]) -> bytes:
    parts = ", ".join(f"{json.dumps(name)}: {text}" for name, text in packed.items())
    return f"event: parts\ndata: {{{parts}}}\n\n".encode()
