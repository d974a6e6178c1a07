"""What the parts of a host share of its faults: the script, the freeze, the restart."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.faults.fault import OVER, PREVIEW, Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.sandbox.comfyui.faults.script import FaultScript


class FreezeGate:
    """Whether the host is frozen; every part of the host waits here before it does something."""

    def __init__(self) -> None:
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._ended = asyncio.Event()
        self._sockets: set[asyncio.Transport] = set()

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    def freeze(self) -> None:
        """Freeze; no socket is read, so that not even a websocket ping is answered."""
        self._thawed.clear()
        for transport in self._sockets:
            transport.pause_reading()

    def thaw(self) -> None:
        self._thawed.set()
        for transport in self._sockets:
            transport.resume_reading()

    def end(self) -> None:
        """Release all waiters for good and abort all sockets: the host stops."""
        self._ended.set()
        self._thawed.set()
        # A socket that is not read does not notice that the client has disconnected.
        for transport in self._sockets:
            transport.abort()

    async def passed(self) -> bool:
        """Wait until the host is not frozen; returns False if the host stopped meanwhile."""
        await self._thawed.wait()
        return not self._ended.is_set()

    async def pause(self, seconds: float | None) -> bool:
        """Wait so many seconds (None: until the host stops); False if the host stopped meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return await self.passed()

    def add(self, transport: asyncio.Transport) -> None:
        """Add a websocket's transport, so that a freeze stops reading from it."""
        self._sockets.add(transport)

    def remove(self, transport: asyncio.Transport) -> None:
        self._sockets.discard(transport)


@dataclass(frozen=True, kw_only=True)
class FeedEvent:
    """An event of the feed under the name that faults use, and its prompt (None: of no prompt)."""

    name: str
    prompt_id: str | None = None

    def matches(self, fault: Fault) -> bool:
        """Tell whether a fault waits for this event; without `at` any event of a prompt matches."""
        return self.prompt_id is not None if fault.at is None else fault.at == self.name


def event_of(type_: str, data: Mapping[str, Any]) -> FeedEvent:
    prompt_id = data.get("prompt_id")
    name = OVER if type_ == "executing" and data.get("node") is None else type_
    return FeedEvent(name=name, prompt_id=prompt_id if isinstance(prompt_id, str) else None)


PREVIEW_EVENT = FeedEvent(name=PREVIEW)


def _do_nothing(_fault: Fault) -> None:
    """Stand in for the host where a part is used without one."""


@dataclass(frozen=True, kw_only=True)
class FaultInjection:
    """The faults of a host from one start to its end; `restart` and `freeze` act on the host."""

    script: FaultScript = field(default_factory=FaultScript)
    freeze_gate: FreezeGate = field(default_factory=FreezeGate)
    restart: Callable[[Fault], None] = _do_nothing
    freeze: Callable[[Fault], None] = _do_nothing

    def take_host_fault(self, event: FeedEvent, *, sent: bool) -> Fault | None:
        """Take the restart or freeze that is due before or after this event is sent."""

        def matches(fault: Fault) -> bool:
            return fault.sent is sent and event.matches(fault)

        script, prompt_id = self.script, event.prompt_id
        return script.take(FaultKind.RESTART, prompt_id=prompt_id, matches=matches) or script.take(
            FaultKind.FREEZE, prompt_id=prompt_id, matches=matches
        )

    def apply(self, fault: Fault) -> None:
        """Restart or freeze the host, as the fault says."""
        (self.restart if fault.kind is FaultKind.RESTART else self.freeze)(fault)
