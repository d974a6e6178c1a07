"""The HTTP routes of a host for prompts, queue, history and images."""

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from imagegen.sandbox.comfyui.execution.validation import BrokenRequestError
from imagegen.sandbox.comfyui.http.faulty_proxy import FaultyProxy
from imagegen.sandbox.comfyui.http.images import UploadRoutes, view
from imagegen.sandbox.comfyui.http.jobs import JobRoutes
from imagegen.sandbox.comfyui.http.object_info import ObjectInfoRoutes
from imagegen.sandbox.comfyui.state import HostState, is_canonical

_LARGEST_BODY = 100 * 2**20


def build_app(state: HostState) -> web.Application:
    """Build the web application of a host from one start to its end."""
    check_origin = _origin_check(refuses_cross_site=state.version.refuses_cross_site)
    middlewares = [FaultyProxy(state).middleware, check_origin]
    app = web.Application(middlewares=middlewares, client_max_size=_LARGEST_BODY)
    for prefix in ("", "/api"):
        for routes in (_Routes(state), ObjectInfoRoutes(state), UploadRoutes(state.files)):
            routes.add_to(app.router, prefix)
    if state.version.has_jobs:
        JobRoutes(state).add_to(app.router)
    app.router.add_get("/{path:.*}", _not_found)
    return app


class _Routes:
    def __init__(self, state: HostState) -> None:
        self._state = state
        self._queue = state.queue

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_get(f"{prefix}/ws", self.socket)
        router.add_get(f"{prefix}/prompt", self.count)
        router.add_post(f"{prefix}/prompt", self.post)
        router.add_get(f"{prefix}/queue", self.queue)
        router.add_post(f"{prefix}/queue", self.change_queue)
        router.add_get(f"{prefix}/history", self.histories)
        router.add_post(f"{prefix}/history", self.change_history)
        router.add_get(f"{prefix}/history/{{prompt_id}}", self.history)
        router.add_get(f"{prefix}/view", self.view)
        router.add_post(f"{prefix}/interrupt", self.interrupt)
        router.add_post(f"{prefix}/free", self.free)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        state = self._state
        return await state.feed.serve(request, lambda: state.status, state.worker.running_node)

    async def count(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state.status)

    async def post(self, request: web.Request) -> web.Response:
        body = await _json(request)
        number = self._state.next_number(body)
        if "prompt" not in body:
            return _refusal("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = body.get("prompt_id", "")
        if self._state.version.wants_uuids:
            if "prompt_id" not in body or prompt_id is None:
                prompt_id = str(uuid.uuid4())
            if not is_canonical(prompt_id):
                return _refusal("invalid_prompt_id", *_INVALID_PROMPT_ID)
        else:
            prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        return self._answer(body, prompt_id, number)

    async def queue(self, _request: web.Request) -> web.Response:
        running = self._queue.running
        return web.json_response(
            {
                "queue_running": [] if running is None else [running.as_json()],
                "queue_pending": [item.as_json() for item in self._queue.pending],
            }
        )

    async def change_queue(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if body.get("clear"):
            self._queue.clear()
        for prompt_id in body.get("delete", ()):
            self._queue.delete(prompt_id)
        return web.Response()

    async def histories(self, request: web.Request) -> web.Response:
        entries = list(self._queue.history.items())
        offset = int(request.query.get("offset", -1))
        if "max_items" in request.query:
            max_items = int(request.query["max_items"])
            start = offset if offset >= 0 else max(0, len(entries) - max_items)
            entries = entries[start : start + max_items]
        return web.json_response(dict(entries))

    async def history(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        entry = self._queue.history.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    async def change_history(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if body.get("clear"):
            self._queue.delete_history(list(self._queue.history))
        self._queue.delete_history(body.get("delete", ()))
        return web.Response()

    async def view(self, request: web.Request) -> web.Response:
        return await view(self._state.files, request)

    async def interrupt(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = {}
        self._state.worker.interrupt(body.get("prompt_id") if isinstance(body, dict) else None)
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if body.get("free_memory"):
            self._state.worker.free()
        return web.Response()

    def _answer(self, body: Mapping[str, Any], prompt_id: str, number: float) -> web.Response:
        try:
            validation = self._state.accept(body, prompt_id, number)
        except BrokenRequestError:
            return _server_error()
        if validation.error is not None:
            refusal = {"error": validation.error, "node_errors": validation.node_errors}
            return web.json_response(refusal, status=400)
        return web.json_response(
            {"prompt_id": prompt_id, "number": number, "node_errors": validation.node_errors}
        )


_INVALID_PROMPT_ID = (
    "prompt_id must be a valid UUID",
    (
        "prompt_id must be a UUID string in canonical lowercase hyphenated form;"
        " omit it to let the server generate one"
    ),
)


def _origin_check(*, refuses_cross_site: bool) -> Middleware:
    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return web.Response(status=403)
        if refuses_cross_site and request.headers.get("Sec-Fetch-Site") == "cross-site":
            return web.Response(status=403)
        try:
            return await handler(request)
        except ValueError:
            # Not JSON, or text in place of a number: a real server's handler fails on it (500).
            return _server_error()

    return check_origin


async def _not_found(_request: web.Request) -> web.Response:
    # Real servers serve the files of their web pages here.
    return web.Response(status=404, content_type="application/octet-stream")


async def _json(request: web.Request) -> Mapping[str, Any]:
    body = json.loads(await request.read())
    # A list has none of the keys, so it counts as an empty object.
    return body if isinstance(body, dict) else {}


def _refusal(type_: str, message: str, details: str) -> web.Response:
    error = {"type": type_, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


def _server_error() -> web.Response:
    return web.Response(
        status=500, text="500 Internal Server Error\n\nServer got itself in trouble"
    )
