"""What the parts of a host share of its faults: the script, the standstill, the way to die."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.faults import OVER, PREVIEW, Fault
from imagegen.sandbox.comfyui.kinds import Kind
from imagegen.sandbox.comfyui.script import Script
from imagegen.sandbox.comfyui.standstill import Standstill


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a frame tells, as faults name it, and of which prompt."""

    name: str
    prompt_id: str | None = None

    def suits(self, fault: Fault) -> bool:
        """Tell whether a fault waits for this event; without a name any of a prompt will do."""
        return self.prompt_id is not None if fault.at is None else fault.at == self.name


def event_of(type_: str, facts: Mapping[str, Any]) -> Event:
    prompt_id = facts.get("prompt_id")
    name = OVER if type_ == "executing" and facts.get("node") is None else type_
    return Event(name=name, prompt_id=prompt_id if isinstance(prompt_id, str) else None)


A_PREVIEW = Event(name=PREVIEW)


def _stay(_fault: Fault) -> None:
    """Live on: a part that is used alone has no host that could die."""


@dataclass(frozen=True, kw_only=True)
class Mischief:
    """The faults of one life of a host; `restart` and `freeze` are the host's own."""

    script: Script = field(default_factory=Script)
    standstill: Standstill = field(default_factory=Standstill)
    restart: Callable[[Fault], None] = _stay
    freeze: Callable[[Fault], None] = _stay

    def ending(self, event: Event, *, sent: bool) -> Fault | None:
        """Take the fault that ends or freezes the host, before or after an event went out."""

        def suits(fault: Fault) -> bool:
            return fault.sent is sent and event.suits(fault)

        script, prompt_id = self.script, event.prompt_id
        return script.take(Kind.RESTART, prompt_id=prompt_id, suits=suits) or script.take(
            Kind.FREEZE, prompt_id=prompt_id, suits=suits
        )

    def befall(self, fault: Fault) -> None:
        """Let the host die or freeze."""
        (self.restart if fault.kind is Kind.RESTART else self.freeze)(fault)
