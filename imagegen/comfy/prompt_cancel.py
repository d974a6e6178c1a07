"""Cancels a prompt on a host, whether queued or running, and makes sure that it is off."""

import asyncio

import structlog

from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt_status import PromptEnded, PromptUnknown, fetch_status

log = structlog.get_logger(__name__)

# A server loses an interrupt right after a prompt has started, and ignores it inside the prompt's
# last node. So the interrupt is repeated, with growing delays.
_DELAYS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


async def cancel_prompt(http: HostHTTP, prompt_id: str, *, within_s: float) -> bool:
    """Cancel this prompt and no other; return whether it is certainly off the host.

    False: the prompt was still on the host after `within_s`. An old server goes on for about 18 s
    inside its last node. May be called for a prompt that has ended or was never posted.

    Raises:
        HostLost: the host does not answer.
    """
    try:
        async with asyncio.timeout(within_s):
            await _cancel_until_gone(http, prompt_id)
    except TimeoutError:
        log.warning("prompt not taken off", host=http.name, prompt_id=prompt_id)
        return False
    # A cancelled prompt leaves a history entry.
    await delete_history(http, prompt_id)
    return True


async def delete_history(http: HostHTTP, prompt_id: str) -> None:
    """Delete what the host keeps of a prompt that has ended; may be called twice.

    Raises:
        HostLost: the host does not answer.
    """
    # A proxy that repeated our POST has queued the prompt twice. The second copy would write a new
    # history entry.
    await http.post("/queue", {"delete": [prompt_id]})
    await http.post("/history", {"delete": [prompt_id]})


async def _cancel_until_gone(http: HostHTTP, prompt_id: str) -> None:
    tries = 0
    while not isinstance(await fetch_status(http, prompt_id), PromptEnded | PromptUnknown):
        if not await _cancel_job(http, prompt_id):
            await _delete_or_interrupt(http, prompt_id)
        await asyncio.sleep(_DELAYS_S[min(tries, len(_DELAYS_S) - 1)])
        tries += 1


async def _cancel_job(http: HostHTTP, prompt_id: str) -> bool:
    """Cancel with the job API of newer servers; return False if this server lacks it."""
    return await http.post_if_supported(f"/api/jobs/{prompt_id}/cancel", {})


async def _delete_or_interrupt(http: HostHTTP, prompt_id: str) -> None:
    await http.post("/queue", {"delete": [prompt_id]})
    # With the prompt's id: an interrupt without one stops the prompt that runs, whoever posted it.
    await http.post("/interrupt", {"prompt_id": prompt_id})
