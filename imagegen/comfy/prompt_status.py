"""Finds a prompt on a host over HTTP: in its history, in its queue, or nowhere.

History and queue decide what has become of a prompt; websocket events may get lost.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.errors import HostLost
from imagegen.comfy.http import HostHTTP

# Between the two searches after which a prompt counts as lost. Longer than a busy server takes to
# move a prompt from its queue into its history (up to 7 ms were measured), and longer than a POST
# whose answer was lost takes to arrive.
_SECOND_SEARCH_S = 0.5


@dataclass(frozen=True, kw_only=True)
class PromptEnded:
    """The prompt has ended, well or not; `entry` is its history entry, in the host's JSON."""

    entry: Any


@dataclass(frozen=True, kw_only=True)
class PromptRunning:
    """The host executes the prompt."""


@dataclass(frozen=True, kw_only=True)
class PromptQueued:
    """The prompt waits in the host's own queue."""


@dataclass(frozen=True, kw_only=True)
class PromptUnknown:
    """The prompt is neither in the history nor in the queue: lost, deleted, or never received."""


PromptStatus = PromptEnded | PromptRunning | PromptQueued | PromptUnknown


async def fetch_status(http: HostHTTP, prompt_id: str) -> PromptStatus:
    """Ask the history, the queue and the history again: the prompt may move between the calls.

    Raises:
        HostLost: the host does not answer.
    """
    for find in (find_in_history, _find_in_queue, find_in_history):
        status = await find(http, prompt_id)
        if not isinstance(status, PromptUnknown):
            return status
    return PromptUnknown()


async def find_prompt(http: HostHTTP, prompt_id: str) -> PromptStatus:
    """Return the prompt's status; PromptUnknown only if two searches 0.5 s apart found nothing.

    Raises:
        HostLost: the host does not answer.
    """
    status = await fetch_status(http, prompt_id)
    if isinstance(status, PromptUnknown):
        await asyncio.sleep(_SECOND_SEARCH_S)
        status = await fetch_status(http, prompt_id)
    return status


async def find_in_history(http: HostHTTP, prompt_id: str) -> PromptEnded | PromptUnknown:
    """Ask the history alone.

    Raises:
        HostLost: the host does not answer.
    """
    entry = (await http.get(f"/history/{prompt_id}")).get(prompt_id)
    return PromptUnknown() if entry is None else PromptEnded(entry=entry)


async def _find_in_queue(
    http: HostHTTP, prompt_id: str
) -> PromptRunning | PromptQueued | PromptUnknown:
    queue = await http.get("/queue")
    try:
        if prompt_id in _ids(queue, "queue_running"):
            return PromptRunning()
        return PromptQueued() if prompt_id in _ids(queue, "queue_pending") else PromptUnknown()
    except (KeyError, TypeError, IndexError) as error:
        raise HostLost(f"{http.name} tells of its queue what no ComfyUI tells") from error


def _ids(queue: Mapping[str, Any], part: str) -> set[str]:
    return {str(item[1]) for item in queue[part]}
