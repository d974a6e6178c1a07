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
    """The prompt waits in the host's own queue; `ahead` prompts are drawn before it."""

    ahead: int


@dataclass(frozen=True, kw_only=True)
class PromptUnknown:
    """The prompt is neither in the history nor in the queue: lost, deleted, or never received."""


PromptStatus = PromptEnded | PromptRunning | PromptQueued | PromptUnknown


async def fetch_status(http: HostHTTP, prompt_id: str) -> PromptStatus:
    """Ask the history, the queue and the history again: the prompt may move between the calls.

    Raises:
        HostLost: the host does not answer.
    """
    for find in (find_in_history, find_in_queue, find_in_history):
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


async def find_in_queue(
    http: HostHTTP, prompt_id: str
) -> PromptRunning | PromptQueued | PromptUnknown:
    """Ask the queue alone.

    Raises:
        HostLost: the host does not answer.
    """
    queue = await http.get("/queue")
    try:
        running = _numbers(queue, "queue_running")
        pending = _numbers(queue, "queue_pending")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise HostLost(f"{http.name} tells of its queue what no ComfyUI tells") from error
    if prompt_id in running:
        return PromptRunning()
    if prompt_id not in pending:
        return PromptUnknown()
    # The smallest number is drawn first, and of equal ones the smallest id.
    own_turn = (pending[prompt_id], prompt_id)
    before = sum((number, other) < own_turn for other, number in pending.items())
    return PromptQueued(ahead=len(running) + before)


def _numbers(queue: Mapping[str, Any], part: str) -> dict[str, float]:
    return {str(item[1]): float(item[0]) for item in queue[part]}
