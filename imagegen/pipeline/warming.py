"""Makes a host load the models of a persona, by a tiny picture that nobody gets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import structlog

from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import DrawingFailed, HostLost, PromptLost, PromptRefused
from imagegen.comfy.execution import PromptExecution
from imagegen.comfy.prompt_job import PromptJob
from imagegen.errors import ImagegenError, Unavailable
from imagegen.pool.host import SlotLease
from imagegen.workflows.binding import BoundGraph
from imagegen.workflows.library import Workflow
from imagegen.workflows.warm_graph import warm_graphs

log = structlog.get_logger(__name__)

# Called with a prompt and its host that nobody waits for, to be removed later.
AddStray = Callable[[UUID, str], Awaitable[None]]

_CANCEL_WITHIN_S = 10.0
# The same when the call is cancelled: its process may end within seconds.
_CANCEL_AT_END_WITHIN_S = 1.0


async def _leave(_: UUID, __: str) -> None:
    pass


async def load_models(
    lease: SlotLease,
    workflow: Workflow,
    *,
    wanted: asyncio.Event | None = None,
    add_stray: AddStray = _leave,
) -> None:
    """Let the host of a lease draw a tiny picture with the workflow's models, and forget it.

    If `wanted` is set meanwhile, somebody else wants the host, and the prompt is cancelled. It is
    cancelled as well if the call is cancelled. A host that loads models obeys only afterwards:
    a prompt that may still be there after some seconds is given to `add_stray`, and each prompt of a
    call that is cancelled.

    Raises:
        PromptLost: the host was wanted, or has lost the prompt.
        Unavailable: the host is away, or failed.
        Rejected: the host does not accept the workflow.
        WorkflowFault: the workflow cannot draw.
    """
    small, full = warm_graphs(workflow)
    try:
        await _draw(lease, small, wanted, add_stray)
    except (PromptRefused, DrawingFailed) as error:
        # Perhaps it was too small for a node.
        log.info("models are loaded in full size", host=lease.host.name, why=error.sentence)
        await _draw(lease, full, wanted, add_stray)


async def _draw(
    lease: SlotLease, graph: BoundGraph, wanted: asyncio.Event | None, add_stray: AddStray
) -> None:
    client, prompt_id = lease.host, uuid4()
    execution = client.execution(
        PromptJob(
            graph=lease.with_host_paths(graph.graph),
            prompt_id=str(prompt_id),
            node=graph.output_node,
            pictures=graph.pictures,
            on_queue=lease.note_queue,
            on_begin=lease.note_begin,
            are_models_loaded=lease.are_models_loaded,
        )
    )
    try:
        async with _giving_way(execution, client, wanted):
            await execution.run()
    except asyncio.CancelledError:
        await asyncio.gather(
            _note_stray(client, prompt_id, add_stray),
            _is_taken_off(client, prompt_id, within_s=_CANCEL_AT_END_WITHIN_S),
        )
        raise
    except ImagegenError:
        if execution.leaves_a_stray:
            await _note_stray(client, prompt_id, add_stray)
        raise
    if not await _is_taken_off(client, prompt_id, within_s=_CANCEL_WITHIN_S):
        await _note_stray(client, prompt_id, add_stray)


@asynccontextmanager
async def _giving_way(
    execution: PromptExecution, client: HostClient, wanted: asyncio.Event | None
) -> AsyncIterator[None]:
    """Cancel the execution as soon as somebody else wants the host."""
    if wanted is None:
        yield
        return

    async def cancel() -> None:
        await wanted.wait()
        execution.cancel(PromptLost(f"{client.name} is wanted for a picture"))

    watching = asyncio.create_task(cancel(), name=f"who wants {client.name}")
    try:
        yield
    finally:
        watching.cancel()


async def _is_taken_off(client: HostClient, prompt_id: UUID, *, within_s: float) -> bool:
    """Cancel the prompt, delete what the host keeps of it, and return whether it is off the host."""
    try:
        return await client.cancel_prompt(str(prompt_id), within_s=within_s)
    except HostLost as error:
        log.warning("prompt is left on its host", host=client.name, why=error.sentence)
        return False


async def _note_stray(client: HostClient, prompt_id: UUID, add_stray: AddStray) -> None:
    try:
        await add_stray(prompt_id, client.name)
    except Unavailable as error:
        log.warning("prompt is left on its host", host=client.name, why=error.sentence)
