"""Takes a prompt off a host, queued or drawing, and makes sure that it is off."""

import asyncio

import structlog

from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt_status import PromptEnded, PromptUnknown, fetch_status

log = structlog.get_logger(__name__)

# Interrupts get lost right after a prompt has started, and are ignored inside its last node: so
# they are repeated, ever more slowly.
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


async def cancel_prompt(http: HostHTTP, prompt_id: str, *, within_s: float) -> bool:
    """Cancel this prompt and no other; return whether it is known to be off the host.

    False means that the host did not let go of it in time: an old server takes some 18 s inside
    its last node. Raises HostLost.
    """
    try:
        async with asyncio.timeout(within_s):
            await _insist(http, prompt_id)
    except TimeoutError:
        log.warning("prompt not taken off", host=http.name, prompt_id=prompt_id)
        return False
    # A cancelled prompt leaves an entry, and a twin of it may have left a queue item.
    await delete_history(http, prompt_id)
    return True


async def delete_history(http: HostHTTP, prompt_id: str) -> None:
    """Delete what is left of a prompt that is over. Raises HostLost."""
    # A proxy that repeated our POST has made a twin, which would write the entry anew.
    await http.post("/queue", {"delete": [prompt_id]})
    await http.post("/history", {"delete": [prompt_id]})


async def _insist(http: HostHTTP, prompt_id: str) -> None:
    tries = 0
    while not isinstance(await fetch_status(http, prompt_id), PromptEnded | PromptUnknown):
        if not await _cancel_job(http, prompt_id):
            await _delete_or_interrupt(http, prompt_id)
        await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
        tries += 1


async def _cancel_job(http: HostHTTP, prompt_id: str) -> bool:
    """Cancel it the way of newer servers; return whether this one knows it."""
    return await http.offers(f"/api/jobs/{prompt_id}/cancel", {})


async def _delete_or_interrupt(http: HostHTTP, prompt_id: str) -> None:
    await http.post("/queue", {"delete": [prompt_id]})
    # With its id, or it would hit whatever runs, other people's prompts too.
    await http.post("/interrupt", {"prompt_id": prompt_id})
