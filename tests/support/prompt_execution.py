"""What tests of prompt execution share: a client of a host, its timeouts, a prompt id."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.prompt_job import PromptJob, PromptResult
from imagegen.comfy.timeouts import PromptTimeouts

MS = 0.001
# No test waits for one of these; tests of a limit make it short.
LIMITS = PromptTimeouts(
    request_s=60, queue_s=60, drawing_s=60, silence_s=60, check_after_s=5, unreachable_s=10
)
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
    return await host.execution(prompt_job(graph, prompt_id, on_progress=on_progress)).run()


def prompt_job(
    graph: dict[str, Any],
    prompt_id: str = PROMPT,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> PromptJob:
    return PromptJob(
        graph=graph,
        prompt_id=prompt_id,
        node=list(graph)[-1],
        on_progress=on_progress or ignore_progress,
    )


def ignore_progress(_share: float) -> None:
    """Ignore the progress."""
