"""What a host says over HTTP of one prompt: the witnesses that decide."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.errors import HostLost
from imagegen.comfy.http import HostHTTP

# Between the two looks that make a prompt lost: longer than what a busy server takes to move a
# prompt from its queue into its history (up to 7 ms were seen), and than a POST under way.
_SECOND_LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class PromptEnded:
    """The prompt has ended; `entry` is its entry in the history."""

    entry: Any


@dataclass(frozen=True, kw_only=True)
class PromptRunning:
    """The host works on it."""


@dataclass(frozen=True, kw_only=True)
class PromptQueued:
    """It stands in the host's own queue."""


@dataclass(frozen=True, kw_only=True)
class PromptUnknown:
    """Neither in the history nor in the queue: lost, deleted, never arrived."""


PromptStatus = PromptEnded | PromptRunning | PromptQueued | PromptUnknown


async def fetch_status(http: HostHTTP, prompt_id: str) -> PromptStatus:
    """Ask history, queue and history again, since a prompt moves from one to the other.

    Raises HostLost.
    """
    for ask in (find_in_history, _in_queue, find_in_history):
        sighting = await ask(http, prompt_id)
        if not isinstance(sighting, PromptUnknown):
            return sighting
    return PromptUnknown()


async def find_prompt(http: HostHTTP, prompt_id: str) -> PromptStatus:
    """Look, and once more if the prompt is nowhere: only nowhere twice means that it is gone."""
    sighting = await fetch_status(http, prompt_id)
    if isinstance(sighting, PromptUnknown):
        await asyncio.sleep(_SECOND_LOOK_S)
        sighting = await fetch_status(http, prompt_id)
    return sighting


async def find_in_history(http: HostHTTP, prompt_id: str) -> PromptEnded | PromptUnknown:
    """Ask the history alone. Raises HostLost."""
    entry = (await http.get(f"/history/{prompt_id}")).get(prompt_id)
    return PromptUnknown() if entry is None else PromptEnded(entry=entry)


async def _in_queue(http: HostHTTP, prompt_id: str) -> PromptRunning | PromptQueued | PromptUnknown:
    queue = await http.get("/queue")
    try:
        if prompt_id in _ids(queue, "queue_running"):
            return PromptRunning()
        return PromptQueued() if prompt_id in _ids(queue, "queue_pending") else PromptUnknown()
    except (KeyError, TypeError, IndexError) as error:
        raise HostLost(f"{http.name} tells of its queue what no ComfyUI tells") from error


def _ids(queue: Mapping[str, Any], part: str) -> set[str]:
    return {str(item[1]) for item in queue[part]}
