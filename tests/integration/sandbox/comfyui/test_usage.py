"""The sandbox ComfyUI's account of what it drew, in Python and as JSON."""

import asyncio

from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from tests.support.comfyui_client import MODELS, connect_client, graph_without_model, persona_graph
from tests.support.patience import PATIENCE_S

MS = 0.001
PROMPT = "7f3a2c1e-5b0d-5c7e-9d58-0b1e64a7c0de"


async def test_gpu_seconds_are_counted_per_prompt_and_per_host() -> None:
    host = SandboxComfyUI(models=MODELS, seconds_per_picture=0.1)
    async with host, connect_client(host.address) as client:
        prompts = [await client.post(persona_graph(seed=seed)) for seed in range(2)]
        for prompt_id in prompts:
            await client.wait_for_end(prompt_id)

        told = await client.get("/sandbox/account")

    assert told["host"] == "sandbox"
    assert (told["posted"], told["drawn"], told["double_drawings"]) == (2, 2, 0)
    assert set(told["prompts"]) == set(prompts)
    assert all(entry["gpu_seconds"] >= 0.1 for entry in told["prompts"].values())
    assert 0.2 <= told["gpu_seconds"] < 2
    assert told["gpu_seconds"] == host.account.gpu_seconds


async def test_the_time_between_two_prompts_is_an_idle_gap() -> None:
    async with SandboxComfyUI() as host, connect_client(host.address) as client:
        await client.wait_for_end(await client.post(graph_without_model(1)))
        await asyncio.sleep(100 * MS)
        await client.wait_for_end(await client.post(graph_without_model(2)))

        (gap,) = (await client.get("/sandbox/account"))["gaps"]

    assert 0.1 <= gap["seconds"] < 2


async def test_a_prompt_that_is_cached_costs_nothing_and_is_no_double() -> None:
    async with SandboxComfyUI() as host, connect_client(host.address) as client:
        for _ in range(2):
            await client.wait_for_end(await client.post(graph_without_model(1)))

    assert len(host.account.drawings) == 1
    assert host.account.doubles == []


async def test_a_picture_drawn_again_after_a_death_is_double_and_unavoidable() -> None:
    fault = Fault(kind=FaultKind.RESTART, at="over", sent=True, seconds=10 * MS)
    host = SandboxComfyUI(models=MODELS)
    host.script(fault)
    async with host:
        request = {"extra_data": {"chatflow_request": "7f3a"}}
        async with connect_client(host.address) as client:
            await client.wait_for_end(await client.post(persona_graph(), **request))
        await host.happened(fault)
        async with asyncio.timeout(PATIENCE_S):
            await host.came_back()
        async with connect_client(host.address) as client:
            again = await client.post(persona_graph(seed=2), prompt_id=PROMPT, **request)
            await client.wait_for_end(again)

    (double,) = host.account.doubles
    assert (double.picture, double.prompt_ids[1], double.avoidable) == ("7f3a", PROMPT, False)


async def test_a_prompt_cut_short_by_a_death_is_on_the_account() -> None:
    host = SandboxComfyUI(models=MODELS, seconds_per_picture=60)
    host.script(Fault(kind=FaultKind.RESTART, at="progress", seconds=0))
    async with host, connect_client(host.address) as client:
        await client.post(persona_graph(steps=600))
        async for _ in client.socket:
            pass

    (drawing,) = host.account.drawings
    assert not drawing.succeeded
    assert drawing.seconds >= 0.1
