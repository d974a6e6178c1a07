"""A host's own account of a prompt: where it is, and when it began and ended; never its words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt_status import (
    PromptEnded,
    PromptQueued,
    PromptRunning,
    PromptUnknown,
    fetch_status,
)


@dataclass(frozen=True, kw_only=True)
class AccountEvent:
    """Something that the host has noted of a prompt, by ComfyUI's own name; `at` is on its clock."""

    name: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PromptAccount:
    """Where a prompt is: `ended`, `running`, `queued` or `unknown`; events only if it has ended."""

    place: str
    events: Sequence[AccountEvent] = ()


async def read_account(http: HostHTTP, prompt_id: str) -> PromptAccount:
    """Ask the host for its account of a prompt.

    Raises:
        HostLost: the host does not answer.
    """
    match await fetch_status(http, prompt_id):
        case PromptEnded(entry=entry):
            return PromptAccount(place="ended", events=_events(entry))
        case PromptRunning():
            return PromptAccount(place="running")
        case PromptQueued():
            return PromptAccount(place="queued")
        case PromptUnknown():
            return PromptAccount(place="unknown")


def _events(entry: Any) -> list[AccountEvent]:
    status = entry.get("status") if isinstance(entry, Mapping) else None
    messages = status.get("messages") if isinstance(status, Mapping) else None
    found = []
    for message in messages if isinstance(messages, list) else []:
        match message:
            case [str(name), Mapping() as fields] if name.isidentifier():
                found.append(AccountEvent(name=name, at=_moment(fields.get("timestamp"))))
    return found


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
