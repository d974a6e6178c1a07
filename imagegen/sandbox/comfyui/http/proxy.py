"""The faults of HTTP answers: a proxy that fails, and a host that denies having a model file."""

import copy
import json
import os
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from imagegen.sandbox.comfyui.execution.node_definitions import LISTS_OF_MODELS, NodeDefinitions
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.execution.validation import validate_prompt
from imagegen.sandbox.comfyui.faults.fault import ACCEPTED, MIB, Fault
from imagegen.sandbox.comfyui.faults.injection import FeedEvent
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.sandbox.comfyui.state import HostState

_HUGE = 33 * MIB


_PROMPT, _VIEW, _SOCKET = "POST /prompt", "GET /view", "GET /ws"


# The sandbox's own routes, to which no fault applies.
_CONTROL_ROUTES = "/sandbox"


_PAGE = "<html><head><title>Welcome</title></head><body>nginx</body></html>"


_UNAVAILABLE = (
    "<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>"
)


class FaultyProxy:
    """A middleware before the routes of a host that applies the faults of answers."""

    def __init__(self, state: HostState) -> None:
        self._state = state
        self._injection = state.injection
        self._script = state.injection.script
        self._freeze_gate = state.injection.freeze_gate

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = _route(request)
        if route.endswith(_CONTROL_ROUTES):
            return await handler(request)
        if not await self._freeze_gate.passed():
            return web.Response()
        if self._take(FaultKind.UNAVAILABLE, route):
            return web.Response(status=503, text=_UNAVAILABLE, content_type="text/html")
        if route == _SOCKET:
            return await handler(request)
        answer = await self._answer(route, request, handler)
        if not isinstance(answer, web.Response):
            return answer
        return await self._apply_answer_faults(route, request, answer)

    async def _answer(
        self, route: str, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if route == _PROMPT:
            return await self._post_prompt(request, handler)
        if route == _VIEW:
            return await self._view(request, handler)
        return await handler(request)

    async def _post_prompt(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = await self._missing_model_refusal(request)
        if refusal is not None:
            return web.json_response(refusal, status=400)
        answer = await handler(request)
        if answer.status != 200:
            return answer
        prompt_id = self._state.queue.newest
        if self._script.take(FaultKind.POSTED_TWICE, prompt_id=prompt_id):
            answer = await handler(request)
        if self._script.take(FaultKind.DELETED, prompt_id=prompt_id):
            self._state.queue.delete(prompt_id)
        return await self._apply_host_fault(
            FeedEvent(name=ACCEPTED, prompt_id=prompt_id), request, answer
        )

    async def _apply_host_fault(
        self, event: FeedEvent, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        # Without the prompt id: a fault without `at` waits for an event of the feed, not for this.
        accepted = FeedEvent(name=event.name)
        if fault := self._injection.take_host_fault(accepted, sent=False):
            self._injection.apply(fault)
            if fault.kind is FaultKind.RESTART:
                return _cut(request)
            await self._freeze_gate.passed()
        elif fault := self._injection.take_host_fault(accepted, sent=True):
            await answer.prepare(request)
            await answer.write_eof()
            self._injection.apply(fault)
        return answer

    async def _missing_model_refusal(self, request: web.Request) -> dict[str, Any] | None:
        if not self._script.expects(FaultKind.REFUSED_MODEL):
            return None
        body = _json(await request.read())
        graph = body.get("prompt") if isinstance(body, dict) else None
        refusals: list[dict[str, Any]] = []

        def matches(fault: Fault) -> bool:
            found = missing_model_refusal(graph, fault.file, self._state)
            refusals.extend([] if found is None else [found])
            return found is not None

        return refusals[-1] if self._script.take(FaultKind.REFUSED_MODEL, matches=matches) else None

    async def _view(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if slow := self._script.take(FaultKind.SLOW_VIEW):
            await self._freeze_gate.pause(slow.lasts_s)
        if self._script.expects(FaultKind.FILE_GONE) and self._script.take(FaultKind.FILE_GONE):
            self._state.files.delete(request.query.get("filename", ""))
        answer = await handler(request)
        if not isinstance(answer, web.Response) or answer.status != 200:
            return answer
        broken = self._script.take(FaultKind.BROKEN_VIEW)
        return answer if broken is None else await self._break(broken, request, answer)

    async def _break(
        self, fault: Fault, request: web.Request, answer: web.Response
    ) -> web.StreamResponse:
        match fault.how:
            case "page":
                return web.Response(text=_PAGE, content_type="text/html")
            case "garbage":
                noise = os.urandom(len(_body(answer)))
                return web.Response(body=noise, content_type=answer.content_type)
            case _:
                return await self._stream(request, answer, share=0.5)

    async def _apply_answer_faults(
        self, route: str, request: web.Request, answer: web.Response
    ) -> web.StreamResponse:
        if answer.status == 200 and self._take(FaultKind.ANSWER_LOST, route, default=_PROMPT):
            return _cut(request)
        if route != _VIEW and self._take(FaultKind.WRONG_TYPE, route):
            return web.Response(text=_PAGE, content_type="text/html")
        if answer.content_type == "application/json" and (
            huge := self._take(FaultKind.HUGE_JSON, route)
        ):
            answer = web.json_response({"padding": "0" * (huge.size or _HUGE)})
        if slow := self._take(FaultKind.TRICKLE, route):
            return await self._stream(request, answer, pause_s=slow.lasts_s or 0.0)
        return answer

    async def _stream(
        self, request: web.Request, answer: web.Response, *, share: float = 1.0, pause_s: float = 0
    ) -> web.StreamResponse:
        """Send an answer in pieces, or its first part and then break the connection."""
        body = _body(answer)
        response = web.StreamResponse(status=answer.status)
        response.content_type, response.content_length = answer.content_type, len(body)
        await response.prepare(request)
        size = 1 if pause_s else max(1, len(body))
        for at in range(0, int(len(body) * share), size):
            await response.write(body[at : min(at + size, int(len(body) * share))])
            if pause_s and not await self._freeze_gate.pause(pause_s):
                break
        if share < 1 and request.transport is not None:
            # close(), not abort(): what was written is sent first.
            request.transport.close()
        return response

    def _take(self, kind: FaultKind, route: str, *, default: str | None = None) -> Fault | None:
        return self._script.take(kind, matches=_is_for(route, default))


def _route(request: web.Request) -> str:
    """Return a route as its method and first path segment, with or without /api before it."""
    parts = request.path.removeprefix("/api/").strip("/").split("/")
    return f"{request.method} /{parts[0]}"


def _is_for(route: str, default: str | None) -> Callable[[Fault], bool]:
    def matches(fault: Fault) -> bool:
        wanted = fault.route or default
        return wanted is None or wanted in {route, route.partition(" ")[2]}

    return matches


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _body(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def missing_model_refusal(
    graph: object, file: str | None, state: HostState
) -> dict[str, Any] | None:
    """Return the body of the 400 for a graph whose model file is missing.

    `file` is that model's name; None means the first one that the graph names. Returns None if the
    graph does not name it.
    """
    if not isinstance(graph, dict):
        return None
    matching_files = [each for each in _model_files(graph) if file in {None, each}]
    if not matching_files:
        return None
    models_without = {
        folder: [f for f in files if f != matching_files[0]]
        for folder, files in state.models.items()
    }
    # A copy, since validation replaces numbers given as text in the graph itself.
    definitions = NodeDefinitions(state.version.name, models_without)
    validation = validate_prompt(copy.deepcopy(graph), definitions, state.version, state.files)
    return (
        None
        if validation.error is None
        else _refusal_body(validation.error, validation.node_errors)
    )


def _refusal_body(error: dict[str, Any], node_errors: dict[str, Any]) -> dict[str, Any]:
    return {"error": error, "node_errors": node_errors}


def _model_files(graph: Graph) -> list[str]:
    found = []
    for node in graph.values():
        for class_type, name in LISTS_OF_MODELS:
            if isinstance(node, dict) and node.get("class_type") == class_type:
                found.append(node.get("inputs", {}).get(name))
    return [file for file in found if isinstance(file, str)]
