"""What tests of drawing share: a client of a host, its limits, a prompt's id."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.prompt import PromptJob, PromptResult
from imagegen.comfy.timeouts import PromptTimeouts

MS = 0.001
# No test waits for one of these; tests of a limit make it short.
LIMITS = PromptTimeouts(request=10, queue=10, drawing=10, silence=10, look=5, away=1)
PROMPT = "7f3a2c1e-5b0d-5c7e-9d58-0b1e64a7c0de"


@asynccontextmanager
async def client(
    address: str, limits: PromptTimeouts = LIMITS, headers: Mapping[str, str] | None = None
) -> AsyncIterator[HostClient]:
    """Connect the worker's client to a host."""
    async with HostClient(HostAddress.parse(address), limits=limits, headers=headers) as host:
        yield host


async def draw(
    host: HostClient,
    graph: dict[str, Any],
    prompt_id: str = PROMPT,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> PromptResult:
    """Draw a graph of tests/support/comfyui_client.py, whose last node saves."""
    return await host.execution(order(graph, prompt_id, on_progress=on_progress)).run()


def order(
    graph: dict[str, Any],
    prompt_id: str = PROMPT,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> PromptJob:
    return PromptJob(
        graph=graph,
        prompt_id=prompt_id,
        node=list(graph)[-1],
        on_progress=on_progress or unheeded,
    )


def unheeded(_share: float) -> None:
    """Take progress in and do nothing with it."""
