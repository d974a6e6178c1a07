"""Sends the feed's frames to its sockets, with the faults of connections."""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import web

from imagegen.sandbox.comfyui.faults.fault import CONNECT, MIB, RECONNECT, Fault
from imagegen.sandbox.comfyui.faults.injection import (
    PREVIEW_EVENT,
    FaultInjection,
    FeedEvent,
    event_of,
)
from imagegen.sandbox.comfyui.faults.kinds import FaultKind

Frame = str | bytes
Sockets = Sequence[web.WebSocketResponse]
Send = Callable[[web.WebSocketResponse, Frame], Awaitable[None]]

_FAULTS = (
    FaultKind.DROP,
    FaultKind.DEAF,
    FaultKind.HUGE_FRAME,
    FaultKind.RESTART,
    FaultKind.FREEZE,
)
# 1 MiB more than a client with a limit of 32 MiB accepts.
_HUGE = 33 * MIB


class FeedConnection:
    """Sends frames to sockets, one after another, unless a fault is due."""

    def __init__(self, injection: FaultInjection) -> None:
        self._injection = injection
        self._script = injection.script
        self._transports: WeakKeyDictionary[web.WebSocketResponse, asyncio.Transport]
        self._transports = WeakKeyDictionary()
        self._deaf: WeakSet[web.WebSocketResponse] = WeakSet()
        self._client_ids: set[str] = set()

    def opened(self, socket: web.WebSocketResponse, request: web.Request, client_id: str) -> None:
        """Add a new socket; a `deaf` fault may apply to it from the start."""
        event = FeedEvent(name=RECONNECT if client_id in self._client_ids else CONNECT)
        self._client_ids.add(client_id)
        if request.transport is not None:
            self._transports[socket] = request.transport
            self._injection.freeze_gate.add(request.transport)
        if self._script.take(FaultKind.DEAF, matches=lambda fault: _makes_deaf(fault, event)):
            self._deaf.add(socket)

    def closed(self, socket: web.WebSocketResponse) -> None:
        """Remove a socket."""
        if (transport := self._transports.pop(socket, None)) is not None:
            self._injection.freeze_gate.remove(transport)

    async def deliver(self, frame: Frame, sockets: Sockets, send: Send) -> None:
        """Send a frame to all sockets with `send`, or apply the fault that is due."""
        await self._injection.freeze_gate.passed()
        sockets = [socket for socket in sockets if socket not in self._deaf]
        if self._script.expects(*_FAULTS):
            await self._deliver_with_faults(frame, sockets, send)
        else:
            await _send_all(frame, sockets, send)

    async def _deliver_with_faults(self, frame: Frame, sockets: Sockets, send: Send) -> None:
        event = _parse_frame(frame)
        await self._apply_host_fault(event, sent=False)
        hearing = self._hearing_sockets(event, sockets)
        if huge := self._due(FaultKind.HUGE_FRAME, event, hearing):
            await _send_all(_huge_frame(huge), hearing, send)
        drop = self._due(FaultKind.DROP, event, hearing)
        if drop is not None and not drop.sent:
            self._cut(hearing)
            return
        await _send_all(frame, hearing, send)
        if drop is not None:
            self._close(hearing)
        await self._apply_host_fault(event, sent=True)

    async def _apply_host_fault(self, event: FeedEvent, *, sent: bool) -> None:
        fault = self._injection.take_host_fault(event, sent=sent)
        if fault is None:
            return
        self._injection.apply(fault)
        if fault.kind is FaultKind.RESTART:
            # The restart cancels this task; until then no frame may be sent.
            await asyncio.Event().wait()
        await self._injection.freeze_gate.passed()

    def _hearing_sockets(self, event: FeedEvent, sockets: Sockets) -> Sockets:
        deaf = self._due(FaultKind.DEAF, event, sockets, unless_unnamed=True)
        if deaf is None:
            return sockets
        self._deaf.update(sockets)
        return []

    def _due(
        self, kind: FaultKind, event: FeedEvent, sockets: Sockets, *, unless_unnamed: bool = False
    ) -> Fault | None:
        def matches(fault: Fault) -> bool:
            return event.matches(fault) and not (unless_unnamed and fault.at is None)

        if not sockets:
            return None
        return self._script.take(kind, prompt_id=event.prompt_id, matches=matches)

    def _cut(self, sockets: Sockets) -> None:
        for transport in self._transports_of(sockets):
            transport.abort()

    def _close(self, sockets: Sockets) -> None:
        # Unlike abort(), close() sends what is buffered; neither sends a close frame.
        for transport in self._transports_of(sockets):
            transport.close()

    def _transports_of(self, sockets: Sockets) -> Iterable[asyncio.Transport]:
        return [self._transports[socket] for socket in sockets if socket in self._transports]


def _makes_deaf(fault: Fault, event: FeedEvent) -> bool:
    return (fault.at or RECONNECT) == event.name or (
        fault.at == CONNECT and event.name == RECONNECT
    )


def _parse_frame(frame: Frame) -> FeedEvent:
    if isinstance(frame, bytes):
        return PREVIEW_EVENT
    message = json.loads(frame)
    return event_of(message["type"], message["data"])


def _huge_frame(fault: Fault) -> Frame:
    size = fault.size or _HUGE
    if fault.how == "binary":
        return struct.pack(">II", 1, 1) + bytes(size)
    return json.dumps({"type": "status", "data": {"padding": "0" * size}})


async def _send_all(frame: Frame, sockets: Sockets, send: Send) -> None:
    for socket in sockets:
        await send(socket, frame)
