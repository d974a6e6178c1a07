"""The sandbox ComfyUI's faults of running prompts, as a client meets them."""

import asyncio
import time

import pytest

from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)

MS = 0.001


def scripted(
    *faults: Fault, version: str = "0.33", seconds_per_picture: float = 0.0
) -> SandboxComfyUI:
    host = SandboxComfyUI(models=MODELS, version=version, seconds_per_picture=seconds_per_picture)
    host.script(*faults)
    return host


@pytest.mark.parametrize(
    ("version", "type_"),
    [("0.33", "torch.OutOfMemoryError"), ("0.3.64", "torch.cuda.OutOfMemoryError")],
)
async def test_a_sampler_runs_out_of_memory_once(version: str, type_: str) -> None:
    fault = Fault(kind=FaultKind.OUT_OF_MEMORY)
    async with (
        scripted(fault, version=version) as host,
        connect_client(host.address) as client,
    ):
        failed = await client.post(persona_graph())
        error = await client.wait_for_event("execution_error", failed)

        assert (error["node_id"], error["node_type"]) == ("7", "KSampler")
        assert error["exception_type"] == type_
        assert error["exception_message"].startswith("Allocation on device \nThis error means")
        entry = (await client.get(f"/history/{failed}"))[failed]
        assert entry["status"]["status_str"] == "error"
        assert "execution_success" in await client.wait_for_end(
            await client.post(persona_graph(seed=2))
        )


async def test_a_node_can_be_named_that_runs_out_of_memory() -> None:
    fault = Fault(kind=FaultKind.OUT_OF_MEMORY, node="VAEDecode")
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.post(persona_graph())

        assert (await client.wait_for_event("execution_error"))["node_type"] == "VAEDecode"


async def test_a_bad_gpu_fails_every_prompt_and_http_is_fine() -> None:
    fault = Fault(kind=FaultKind.BAD_GPU, times=None)
    async with scripted(fault) as host, connect_client(host.address) as client:
        ends = [
            await client.wait_for_end(await client.post(graph_without_model(n))) for n in range(3)
        ]

        assert all("execution_error" in events for events in ends)
        assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 0}}


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
async def test_a_prompt_ends_as_fully_cached_and_its_picture_is_there(version: str) -> None:
    fault = Fault(kind=FaultKind.CACHED)
    async with (
        scripted(fault, version=version) as host,
        connect_client(host.address) as client,
    ):
        prompt_id = await client.post(persona_graph())

        cached = await client.wait_for_event("execution_cached", prompt_id)
        events = await client.wait_for_end(prompt_id)

        assert set(cached["nodes"]) == set(persona_graph())
        assert "executing" not in events[:-1]
        assert "executed" in events
        assert (await client.picture(prompt_id)).startswith(b"\x89PNG")
        assert host.drawn == []


async def test_a_cached_prompt_can_name_an_old_file_that_is_gone() -> None:
    fault = Fault(kind=FaultKind.CACHED, file="old/ash_00001_.png")
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(graph_without_model(1))

        file = (await client.wait_for_event("executed", prompt_id))["output"]["images"][0]

        assert file == {"filename": "ash_00001_.png", "subfolder": "old", "type": "output"}
        async with client.session.get("/view", params=file) as response:
            assert response.status == 404


async def test_a_sampler_stalls_half_way_until_it_is_interrupted() -> None:
    fault = Fault(kind=FaultKind.STALL)
    # The older version tells of every step.
    host = scripted(fault, version="0.3.64")
    async with host, connect_client(host.address) as client:
        prompt_id = await client.post(persona_graph())
        await host.happened(fault)
        assert await last_step(client) == 3
        assert (await client.get("/queue"))["queue_running"][0][1] == prompt_id

        await client.send("/interrupt", {"prompt_id": prompt_id})

        assert "execution_interrupted" in await client.wait_for_end(prompt_id)


async def last_step(client: ComfyUIClient) -> int:
    """Read the socket until it is silent, and give the last step it told."""
    step = 0
    try:
        while True:
            frame = await client.socket.receive_json(timeout=50 * MS)
            if frame["type"] == "progress":
                step = frame["data"]["value"]
    except TimeoutError:
        return step


async def test_a_stall_ends_by_itself_after_its_seconds() -> None:
    fault = Fault(kind=FaultKind.STALL, seconds=50 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        began = time.monotonic()
        prompt_id = await client.post(persona_graph())

        assert "execution_success" in await client.wait_for_end(prompt_id)
        assert time.monotonic() - began >= 50 * MS


@pytest.mark.parametrize("event", ["executing", "progress", None])
async def test_somebody_else_interrupts_our_prompt(event: str | None) -> None:
    fault = Fault(kind=FaultKind.FOREIGN_INTERRUPT, at=event)
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(persona_graph())

        assert "execution_interrupted" in await client.wait_for_end(prompt_id)
        again = await client.post(persona_graph(seed=2))
        assert "execution_success" in await client.wait_for_end(again)


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
async def test_an_interrupt_is_lost_so_often(version: str) -> None:
    fault = Fault(kind=FaultKind.LOST_INTERRUPT, times=2)
    host = scripted(fault, version=version, seconds_per_picture=60)
    async with host, connect_client(host.address) as client:
        prompt_id = await client.post(persona_graph(steps=6000))
        await client.wait_for_event("progress")
        for _ in range(2):
            await client.send("/interrupt", {"prompt_id": prompt_id})
        await client.wait_for_event("progress")

        await client.send("/interrupt", {"prompt_id": prompt_id})

        assert "execution_interrupted" in await client.wait_for_end(prompt_id)
        assert len(host.troubles) == 2


async def test_a_cancel_of_a_running_job_is_lost_too() -> None:
    fault = Fault(kind=FaultKind.LOST_INTERRUPT)
    async with (
        scripted(fault, seconds_per_picture=60) as host,
        connect_client(host.address) as client,
    ):
        prompt_id = await client.post(persona_graph(steps=6000))
        await client.wait_for_event("progress")
        await client.send(f"/api/jobs/{prompt_id}/cancel", {})
        await client.wait_for_event("progress")

        await client.send(f"/api/jobs/{prompt_id}/cancel", {})

        assert "execution_interrupted" in await client.wait_for_end(prompt_id)


async def test_the_history_comes_late_and_the_prompt_counts_as_running_until_then() -> None:
    fault = Fault(kind=FaultKind.LATE_HISTORY, seconds=80 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(graph_without_model(1))
        await client.wait_for_event("execution_success")
        began = time.monotonic()
        assert await client.get(f"/history/{prompt_id}") == {}
        assert (await client.get("/queue"))["queue_running"][0][1] == prompt_id

        await client.wait_for_end(prompt_id)

        assert time.monotonic() - began >= 60 * MS
        assert prompt_id in await client.get(f"/history/{prompt_id}")


async def seconds_for(client: ComfyUIClient, lora: str, seed: int) -> float:
    began = time.monotonic()
    await client.wait_for_end(await client.post(persona_graph(lora=lora, seed=seed, size=(64, 64))))
    return time.monotonic() - began


async def test_other_models_take_their_time_to_load_and_the_same_do_not() -> None:
    ash, una = MODELS["loras"]
    host = SandboxComfyUI(models=MODELS, model_load_seconds=0.4)
    async with host, connect_client(host.address) as client:
        loras = (ash, ash, una, una, ash)

        took = [await seconds_for(client, lora, seed) for seed, lora in enumerate(loras)]

        assert [seconds >= 0.4 for seconds in took] == [True, False, True, False, True]
        assert len(host.account.loads) == 3


async def test_out_of_memory_unloads_the_models() -> None:
    host = SandboxComfyUI(models=MODELS)
    host.script(Fault(kind=FaultKind.OUT_OF_MEMORY, after=1))
    async with host, connect_client(host.address) as client:
        for seed in range(3):
            await client.wait_for_end(await client.post(persona_graph(seed=seed)))

    assert len(host.account.loads) == 2


async def test_without_a_fault_nothing_has_happened() -> None:
    async with scripted() as host, connect_client(host.address) as client:
        await client.wait_for_end(await client.post(persona_graph()))

        assert host.troubles == ()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10 * MS):
                await host.happened(Fault(kind=FaultKind.STALL))
