"""The sandbox ComfyUI queues, interrupts, dies and comes back as a real host does."""

import asyncio
import contextlib
import gc
import socket

import pytest
from aiohttp import ClientConnectionError, WSMsgType

from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import MODELS, connect_client, graph_without_model, persona_graph

# Long enough that no test sees its end, in steps of 10 ms.
LONG_S = 60.0
LONG_STEPS = 6000


async def test_the_smallest_number_runs_first() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)
        last = await other_client.post(graph_without_model(1))
        first = await other_client.post(graph_without_model(2), number=-100)
        second = await other_client.post(graph_without_model(3), front=True)

        await other_client.send("/interrupt", {})

        ends = [
            (await other_client.wait_for_event("execution_success"))["prompt_id"] for _ in range(3)
        ]
    assert ends == [first, second, last]


async def test_the_queue_shows_running_and_waiting_prompts() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)
        waiting = await other_client.post(graph_without_model(1), extra_data={"request": "7f3a"})

        queue = await other_client.get("/queue")

        assert [item[1] for item in queue["queue_running"]] == [running]
        assert [item[1] for item in queue["queue_pending"]] == [waiting]
        assert queue["queue_pending"][0][3]["request"] == "7f3a"
        assert await other_client.get("/prompt") == {"exec_info": {"queue_remaining": 2}}


async def test_a_deleted_prompt_leaves_no_trace() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        deleted = await other_client.post(graph_without_model(1))
        behind = await other_client.post(graph_without_model(2))

        await other_client.send("/queue", {"delete": [deleted]})
        await other_client.wait_for_event("progress", running)
        await other_client.send("/interrupt", {"prompt_id": running})
        success = await other_client.wait_for_event("execution_success")

        assert success["prompt_id"] == behind
        assert await other_client.get(f"/history/{deleted}") == {}


@pytest.mark.parametrize("is_targeted", [True, False])
async def test_an_interrupt_stops_the_running_prompt_between_steps(*, is_targeted: bool) -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)

        await other_client.send("/interrupt", {"prompt_id": running} if is_targeted else {})

        facts = await other_client.wait_for_event("execution_interrupted", running)
        assert (facts["node_id"], facts["node_type"]) == ("7", "KSampler")
        assert await other_client.wait_for_end(running) == ["status", "executing"]
        entry = (await other_client.get(f"/history/{running}"))[running]
        assert entry["status"]["status_str"] == "error"
        assert entry["outputs"] == {}
        assert [drawn.succeeded for drawn in sandbox.drawn] == [False]


async def test_an_interrupt_for_another_prompt_is_ignored() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=0.1)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph())
        await other_client.wait_for_event("progress", running)

        await other_client.send("/interrupt", {"prompt_id": "somebody else's"})

        assert "execution_success" in await other_client.wait_for_end(running)


async def test_an_interrupt_while_nothing_runs_hits_nobody() -> None:
    sandbox = SandboxComfyUI()
    async with sandbox, connect_client(sandbox.address) as other_client:
        await other_client.send("/interrupt", {})

        prompt_id = await other_client.post(graph_without_model(1))

        assert "execution_success" in await other_client.wait_for_end(prompt_id)


async def test_a_job_is_cancelled_whether_it_waits_or_runs() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)
        waiting = await other_client.post(graph_without_model(1))

        answers = [
            await other_client.send(f"/api/jobs/{job}/cancel", {})
            for job in (waiting, running, "gone")
        ]

        assert answers == [{"cancelled": True}, {"cancelled": True}, {"cancelled": False}]
        await other_client.wait_for_end(running)
        assert (await other_client.get(f"/api/jobs/{running}"))["status"] == "cancelled"
        assert await other_client.get(f"/api/jobs/{waiting}") == {"error": "Job not found"}


async def test_the_older_version_knows_no_jobs() -> None:
    sandbox = SandboxComfyUI(version="0.3.64")
    async with (
        sandbox,
        connect_client(sandbox.address) as other_client,
        other_client.session.get("/api/jobs") as response,
    ):
        assert response.status == 404


async def test_a_killed_host_breaks_its_sockets_and_refuses_http() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)

        await sandbox.kill()

        async for message in other_client.socket:
            assert message.type is WSMsgType.TEXT
        assert other_client.socket.close_code == 1006
        with pytest.raises(ClientConnectionError):
            await other_client.get("/prompt")


@pytest.mark.parametrize("turns", range(4))
async def test_a_host_that_is_killed_while_clients_connect_leaves_no_socket_open(
    turns: int,
) -> None:
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox:
        host, _, port = sandbox.address.partition(":")
        clients = [socket.create_connection((host, int(port))) for _ in range(8)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await sandbox.kill()

        # A socket that was forgotten open warns as it is collected, which fails the test.
        gc.collect()
        for client in clients:
            with client, contextlib.suppress(ConnectionResetError):
                client.settimeout(5)
                assert client.recv(1) == b""


async def test_a_host_comes_back_on_its_port_without_queue_history_and_temp_files() -> None:
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox:
        address = sandbox.address
        async with connect_client(address) as other_client:
            temp = await other_client.post(graph_without_model(1, save="PreviewImage"))
            image = (await other_client.wait_for_event("executed", temp))["output"]["images"][0]
            await other_client.wait_for_end(temp)

        await sandbox.kill()
        await sandbox.start()

        async with connect_client(sandbox.address) as other_client:
            assert sandbox.address == address
            assert await other_client.get("/history") == {}
            async with other_client.session.get("/view", params=image) as response:
                assert response.status == 404
            assert "execution_success" in await other_client.wait_for_end(
                await other_client.post(graph_without_model(2))
            )


async def test_the_newest_socket_is_served_and_the_old_close_makes_it_deaf() -> None:
    sandbox = SandboxComfyUI()
    async with (
        sandbox,
        connect_client(sandbox.address, "twin") as old,
        connect_client(sandbox.address, "twin") as new,
        connect_client(sandbox.address) as other,
    ):
        first = await old.post(graph_without_model(1))
        assert "execution_success" in await new.wait_for_end(first)
        await old.socket.close()

        await other.wait_for_end(await other.post(graph_without_model(2)))

        assert not new.socket.closed
        await sandbox.kill()
        assert [message async for message in new.socket] == []


async def test_a_socket_that_comes_in_the_middle_hears_where_the_prompt_is() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        running = await other_client.post(persona_graph(steps=LONG_STEPS))
        await other_client.wait_for_event("progress", running)
        await other_client.socket.close()

        async with connect_client(sandbox.address, other_client.id) as again:
            await again.wait_for_event("status")

            assert await again.socket.receive_json() == {
                "type": "executing",
                "data": {"node": "7"},
            }


async def test_a_cached_prompt_is_posted_but_not_drawn() -> None:
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox, connect_client(sandbox.address) as other_client:
        for _ in range(2):
            await other_client.wait_for_end(await other_client.post(persona_graph()))

    assert len(sandbox.posted) == 2
    assert len(sandbox.drawn) == 1


async def test_another_origin_is_refused() -> None:
    sandbox = SandboxComfyUI()
    origin = {"Origin": "http://example.org"}
    async with (
        sandbox,
        connect_client(sandbox.address) as other_client,
        other_client.session.get("/queue", headers=origin) as response,
    ):
        assert response.status == 403


async def test_a_stopped_host_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, connect_client(sandbox.address) as other_client:
        await other_client.wait_for_event(
            "progress", await other_client.post(persona_graph(steps=LONG_STEPS))
        )

    assert asyncio.all_tasks() == before
    await sandbox.kill()
