"""Prompts that wait in a host's queue behind those of others: withdrawn in time, or drawn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostBusy
from imagegen.comfy.execution import PromptExecution
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)
from tests.support.patience import PATIENCE_S
from tests.support.prompt_execution import LIMITS, MS, PROMPT, client, prompt_job

LONG_S = 60.0
BUSY = HostBusy("another host begins sooner")


@asynccontextmanager
async def behind_others(
    count: int, *, seconds: float = LONG_S
) -> AsyncIterator[tuple[HostClient, ComfyUIClient, list[str]]]:
    """A host with so many prompts of others; the first of them is drawn."""
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=seconds)
    limits = replace(LIMITS, queue_s=100 * MS, check_after_s=50 * MS)
    async with (
        sandbox,
        client(sandbox.address, limits) as host,
        connect_client(sandbox.address) as others,
    ):
        posted = [await others.post(persona_graph(seed=seed)) for seed in range(count)]
        await others.wait_for_event("execution_start", posted[0])
        yield host, others, posted


async def _on_host(others: ComfyUIClient) -> list[str]:
    queue = await others.get("/queue")
    return [item[1] for item in queue["queue_running"] + queue["queue_pending"]]


async def _until_queued(others: ComfyUIClient) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while PROMPT not in await _on_host(others):
            await others.wait_for_event("status")


def _run(execution: PromptExecution) -> "asyncio.Task[object]":
    return asyncio.create_task(execution.run(), name="drawing")


async def test_the_host_tells_how_many_prompts_come_first() -> None:
    lengths: list[int] = []
    async with behind_others(3) as (host, others, _):
        job = replace(
            prompt_job(graph_without_model(1)),
            on_queue=lengths.append,
            gives_up_place=lambda _: False,
        )
        execution = host.execution(job)
        task = _run(execution)
        await _until_queued(others)

        # Of others, and behind ours.
        await others.post(persona_graph(seed=9))

        assert await execution.ahead() == 3
        assert await host.probe() == 5
        task.cancel()
        await asyncio.wait([task])
    assert 4 in lengths


async def test_a_prompt_that_waits_is_withdrawn() -> None:
    async with behind_others(1) as (host, others, posted):
        execution = host.execution(
            replace(prompt_job(graph_without_model(1)), gives_up_place=lambda _: False)
        )
        task = _run(execution)
        await _until_queued(others)

        assert await execution.withdraw(BUSY)

        with pytest.raises(HostBusy, match="begins sooner"):
            await task
        assert await _on_host(others) == posted
        assert not execution.leaves_a_stray


async def test_a_prompt_that_has_begun_is_drawn_and_not_withdrawn() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=1.5)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as others,
    ):
        begun = asyncio.Event()
        execution = host.execution(replace(prompt_job(persona_graph()), on_begin=begun.set))
        task = _run(execution)
        await begun.wait()

        assert not await execution.withdraw(BUSY)

        await task
        assert execution.has_begun
        assert await others.get("/history") != {}
    assert len(sandbox.drawn) == 1


async def test_a_place_in_a_queue_is_kept_if_no_other_is_better() -> None:
    asked: list[int] = []

    def stay(ahead: int) -> bool:
        asked.append(ahead)
        return False

    async with behind_others(2, seconds=300 * MS) as (host, others, _):
        execution = host.execution(replace(prompt_job(graph_without_model(1)), gives_up_place=stay))

        await execution.run()

        assert list(await others.get("/history"))[-1] == PROMPT
    assert set(asked) <= {1, 2}
    assert asked
