"""The calls to the API, for a test or a person to look at and wait for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from imagegen.sandbox.telegram.events import Changes


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call to the API; `status` is None while it has no answer, or if it never gets one."""

    method: str
    when: datetime
    chat_id: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    description: str | None = None


class CallLog:
    """All calls, in the order in which they came."""

    def __init__(self, changes: Changes) -> None:
        self.calls: list[Call] = []
        self._changes = changes

    def add(self, method: str) -> int:
        """Record that a call came; returns its place."""
        self.calls.append(Call(method=method, when=datetime.now(UTC)))
        return len(self.calls) - 1

    def update(self, place: int, **changes: Any) -> Call:
        """Change the record of a call, and wake those who wait for calls or messages."""
        self.calls[place] = replace(self.calls[place], **changes)
        self._changes.notify()
        return self.calls[place]
