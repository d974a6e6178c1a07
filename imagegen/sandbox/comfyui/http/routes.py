"""The HTTP routes of a host: prompts, queue, history and pictures."""

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from imagegen.sandbox.comfyui.execution.validation import BrokenRequestError
from imagegen.sandbox.comfyui.http.images import UploadRoutes, view
from imagegen.sandbox.comfyui.http.jobs import JobRoutes
from imagegen.sandbox.comfyui.http.object_info import ObjectInfoRoutes
from imagegen.sandbox.comfyui.http.proxy import FaultyProxy
from imagegen.sandbox.comfyui.state import HostState, is_canonical

_LARGEST_BODY = 100 * 2**20


def build_app(machine: HostState) -> web.Application:
    """Build the web application of one life of a host."""
    keep_out_others = _keeper_out(refuses_cross_site=machine.version.refuses_cross_site)
    between = [FaultyProxy(machine).stand_between, keep_out_others]
    app = web.Application(middlewares=between, client_max_size=_LARGEST_BODY)
    for prefix in ("", "/api"):
        for routes in (_Routes(machine), ObjectInfoRoutes(machine), UploadRoutes(machine.files)):
            routes.add_to(app.router, prefix)
    if machine.version.has_jobs:
        JobRoutes(machine).add_to(app.router)
    app.router.add_get("/{path:.*}", _no_such_page)
    return app


class _Routes:
    def __init__(self, machine: HostState) -> None:
        self._machine = machine
        self._queue = machine.queue

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
        machine = self._machine
        return await machine.feed.serve(request, lambda: machine.status, machine.worker.place)

    async def count(self, _request: web.Request) -> web.Response:
        return web.json_response(self._machine.status)

    async def post(self, request: web.Request) -> web.Response:
        wish = await _json(request)
        number = self._machine.next_number(wish)
        if "prompt" not in wish:
            return _refusal("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = wish.get("prompt_id", "")
        if self._machine.version.wants_uuids:
            if "prompt_id" not in wish or prompt_id is None:
                prompt_id = str(uuid.uuid4())
            if not is_canonical(prompt_id):
                return _refusal("invalid_prompt_id", *_NO_UUID)
        else:
            prompt_id = str(wish.get("prompt_id", uuid.uuid4()))
        return self._answer(wish, prompt_id, number)

    async def queue(self, _request: web.Request) -> web.Response:
        running = self._queue.running
        return web.json_response(
            {
                "queue_running": [] if running is None else [running.as_json()],
                "queue_pending": [item.as_json() for item in self._queue.pending],
            }
        )

    async def change_queue(self, request: web.Request) -> web.Response:
        wish = await _json(request)
        if wish.get("clear"):
            self._queue.clear()
        for prompt_id in wish.get("delete", ()):
            self._queue.delete(prompt_id)
        return web.Response()

    async def histories(self, request: web.Request) -> web.Response:
        entries = list(self._queue.history.items())
        offset = int(request.query.get("offset", -1))
        if "max_items" in request.query:
            most = int(request.query["max_items"])
            start = offset if offset >= 0 else max(0, len(entries) - most)
            entries = entries[start : start + most]
        return web.json_response(dict(entries))

    async def history(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        entry = self._queue.history.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    async def change_history(self, request: web.Request) -> web.Response:
        wish = await _json(request)
        if wish.get("clear"):
            self._queue.forget(list(self._queue.history))
        self._queue.forget(wish.get("delete", ()))
        return web.Response()

    async def view(self, request: web.Request) -> web.Response:
        return await view(self._machine.files, request)

    async def interrupt(self, request: web.Request) -> web.Response:
        try:
            wish = json.loads(await request.read())
        except ValueError:
            wish = {}
        self._machine.worker.interrupt(wish.get("prompt_id") if isinstance(wish, dict) else None)
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        wish = await _json(request)
        if wish.get("free_memory"):
            self._machine.worker.free()
        return web.Response()

    def _answer(self, wish: Mapping[str, Any], prompt_id: str, number: float) -> web.Response:
        try:
            verdict = self._machine.accept(wish, prompt_id, number)
        except BrokenRequestError:
            return _trouble()
        if verdict.error is not None:
            told = {"error": verdict.error, "node_errors": verdict.node_errors}
            return web.json_response(told, status=400)
        return web.json_response(
            {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        )


_NO_UUID = (
    "prompt_id must be a valid UUID",
    (
        "prompt_id must be a UUID string in canonical lowercase hyphenated form;"
        " omit it to let the server generate one"
    ),
)


def _keeper_out(*, refuses_cross_site: bool) -> Middleware:
    @web.middleware
    async def keep_out_others(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return web.Response(status=403)
        if refuses_cross_site and request.headers.get("Sec-Fetch-Site") == "cross-site":
            return web.Response(status=403)
        try:
            return await handler(request)
        except ValueError:
            # No JSON, or text where a number belongs: a real server's handler breaks on it.
            return _trouble()

    return keep_out_others


async def _no_such_page(_request: web.Request) -> web.Response:
    # Real servers look for a file of their web pages.
    return web.Response(status=404, content_type="application/octet-stream")


async def _json(request: web.Request) -> Mapping[str, Any]:
    said = json.loads(await request.read())
    # A list has no keys, and that is all that is asked of it.
    return said if isinstance(said, dict) else {}


def _refusal(type_: str, message: str, details: str) -> web.Response:
    error = {"type": type_, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


def _trouble() -> web.Response:
    return web.Response(
        status=500, text="500 Internal Server Error\n\nServer got itself in trouble"
    )
