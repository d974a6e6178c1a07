"""The sandbox ComfyUI's faults of HTTP, as a client meets them."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponse,
    ContentTypeError,
    WSServerHandshakeError,
)

from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)
from tests.support.patience import PATIENCE_S

MS = 0.001
PROMPT = "7f3a2c1e-5b0d-5c7e-9d58-0b1e64a7c0de"


def scripted(*faults: Fault, version: str = "0.33") -> SandboxComfyUI:
    host = SandboxComfyUI(models=MODELS, version=version)
    host.script(*faults)
    return host


async def drawn_file(client: ComfyUIClient) -> dict[str, Any]:
    """Draw a picture and say where it is."""
    prompt_id = await client.post(graph_without_model(1))
    await client.wait_for_end(prompt_id)
    entry = (await client.get(f"/history/{prompt_id}"))[prompt_id]
    file: dict[str, Any] = entry["outputs"]["2"]["images"][0]
    return file


async def view(client: ComfyUIClient, file: dict[str, Any]) -> tuple[ClientResponse, bytes]:
    async with client.session.get("/view", params=file) as response:
        return response, await response.read()


async def test_an_answer_is_lost_after_the_prompt_was_taken() -> None:
    fault = Fault(kind=FaultKind.ANSWER_LOST)
    async with scripted(fault) as host, connect_client(host.address) as client:
        with pytest.raises(ClientConnectionError):
            await client.post(graph_without_model(1), prompt_id=PROMPT)

        assert "execution_success" in await client.wait_for_end(PROMPT)
        assert [posted.prompt_id for posted in host.posted] == [PROMPT]


async def test_a_refused_prompt_keeps_its_answer() -> None:
    async with (
        scripted(Fault(kind=FaultKind.ANSWER_LOST)) as host,
        connect_client(host.address) as client,
    ):
        assert (await client.send("/prompt", {}))["error"]["type"] == "no_prompt"
        assert host.troubles == ()


async def test_a_prompt_posted_twice_runs_twice() -> None:
    fault = Fault(kind=FaultKind.POSTED_TWICE)
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.post(persona_graph(), prompt_id=PROMPT)
        await client.wait_for_end(PROMPT)
        await client.wait_for_end(PROMPT)

        assert host.account.posted == {PROMPT: 2}


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
async def test_a_model_is_refused_though_the_host_names_it(version: str) -> None:
    fault = Fault(kind=FaultKind.REFUSED_MODEL)
    async with (
        scripted(fault, version=version) as host,
        connect_client(host.address) as client,
    ):
        refused = await client.send("/prompt", {"prompt": persona_graph(), "prompt_id": PROMPT})

        listed = await client.get("/models/diffusion_models")
        assert refused["error"]["type"] == "prompt_outputs_failed_validation"
        (complaint,) = refused["node_errors"]["1"]["errors"]
        assert complaint["type"] == "value_not_in_list"
        assert complaint["details"] == "unet_name: 'z_image_turbo_bf16.safetensors' not in []"
        assert listed == ["z_image_turbo_bf16.safetensors"]
        await client.wait_for_end(await client.post(persona_graph()))


async def test_a_file_can_be_named_for_refusal_and_other_prompts_pass() -> None:
    fault = Fault(kind=FaultKind.REFUSED_MODEL, file="una_zit.safetensors")
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.post(persona_graph(lora="ash_zit_v2.safetensors"))
        await client.post(graph_without_model(1))
        refused = await client.send(
            "/prompt", {"prompt": persona_graph(lora="una_zit.safetensors")}
        )

        assert list(refused["node_errors"]) == ["2"]


async def test_somebody_deletes_a_prompt_from_the_queue_and_nothing_tells_of_it() -> None:
    async with (
        scripted(Fault(kind=FaultKind.DELETED)) as host,
        connect_client(host.address) as client,
    ):
        deleted = await client.post(graph_without_model(1))
        behind = await client.post(graph_without_model(2))

        assert (await client.wait_for_event("execution_start"))["prompt_id"] == behind
        await client.wait_for_end(behind)
        assert list(await client.get("/history")) == [behind]
        assert deleted != behind


async def test_a_view_is_slow() -> None:
    fault = Fault(kind=FaultKind.SLOW_VIEW, seconds=80 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        file = await drawn_file(client)
        began = time.monotonic()

        response, _ = await view(client, file)

        assert response.status == 200
        assert time.monotonic() - began >= 80 * MS


async def test_a_view_is_cut_short() -> None:
    fault = Fault(kind=FaultKind.BROKEN_VIEW, how="cut")
    async with scripted(fault) as host, connect_client(host.address) as client:
        file = await drawn_file(client)

        with pytest.raises(ClientPayloadError):
            await view(client, file)

        assert (await view(client, file))[1].startswith(b"\x89PNG")


@pytest.mark.parametrize(("how", "type_"), [("garbage", "image/png"), ("page", "text/html")])
async def test_a_view_is_no_picture(how: str, type_: str) -> None:
    fault = Fault(kind=FaultKind.BROKEN_VIEW, how=how)
    async with scripted(fault) as host, connect_client(host.address) as client:
        file = await drawn_file(client)

        response, body = await view(client, file)

        assert (response.status, response.content_type) == (200, type_)
        assert not body.startswith(b"\x89PNG")


async def test_a_file_is_gone_for_good() -> None:
    async with (
        scripted(Fault(kind=FaultKind.FILE_GONE)) as host,
        connect_client(host.address) as client,
    ):
        file = await drawn_file(client)

        statuses = [(await view(client, file))[0].status for _ in range(2)]

        assert statuses == [404, 404]


async def test_an_answer_trickles() -> None:
    fault = Fault(kind=FaultKind.TRICKLE, route="/prompt", seconds=2 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        async with client.session.get("/prompt") as response:
            pieces = [piece async for piece in response.content.iter_any()]

        assert b"".join(pieces) == b'{"exec_info": {"queue_remaining": 0}}'
        assert len(pieces) > 10


async def test_an_answer_is_a_web_page() -> None:
    fault = Fault(kind=FaultKind.WRONG_TYPE, route="GET /queue")
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.get("/history")
        with pytest.raises(ContentTypeError):
            await client.get("/queue")

        assert await client.get("/queue") == {"queue_running": [], "queue_pending": []}


async def test_an_answer_is_huge() -> None:
    async with (
        scripted(Fault(kind=FaultKind.HUGE_JSON)) as host,
        connect_client(host.address) as client,
    ):
        answer = await client.get("/api/history/x")

        assert len(answer["padding"]) > 32 * 2**20


async def test_a_proxy_is_unavailable_for_so_many_requests() -> None:
    fault = Fault(kind=FaultKind.UNAVAILABLE, times=2)
    async with scripted() as host, connect_client(host.address) as client:
        host.script(fault)
        answers = [await client.session.get("/prompt") for _ in range(3)]

        assert [answer.status for answer in answers] == [503, 503, 200]
        assert answers[0].content_type == "text/html"


async def test_a_proxy_refuses_handshakes() -> None:
    async with scripted(Fault(kind=FaultKind.UNAVAILABLE, route="/ws")) as host:
        with pytest.raises(WSServerHandshakeError, match="503"):
            async with connect_client(host.address):
                pass
        async with connect_client(host.address) as client:
            await client.wait_for_event("status")


async def test_a_proxy_is_unavailable_for_some_seconds() -> None:
    fault = Fault(kind=FaultKind.UNAVAILABLE, seconds=100 * MS)
    async with scripted() as host, connect_client(host.address) as client:
        host.script(fault)
        began = time.monotonic()

        statuses = {(await client.session.get("/prompt")).status for _ in range(5)}
        async with asyncio.timeout(PATIENCE_S):
            while (await client.session.get("/prompt")).status == 503:
                pass

        assert statuses == {503}
        assert time.monotonic() - began >= 100 * MS


async def test_faults_are_added_listed_and_cleared_by_other_processes() -> None:
    async with scripted() as host, connect_client(host.address) as client:
        wish = {"faults": ["unavailable:times=ever,route=/prompt", "stall"]}
        added = await client.send("/sandbox/faults", wish)
        assert added["waiting"] == wish["faults"]
        assert (await client.session.get("/prompt")).status == 503
        assert (await client.get("/sandbox/faults"))["happened"][0]["fault"] == wish["faults"][0]

        await client.session.delete("/sandbox/faults")

        assert (await client.session.get("/prompt")).status == 200


@pytest.mark.parametrize("body", [{"faults": ["dorp"]}, {"faults": [1]}, {"fault": []}, [], 7])
async def test_what_is_no_fault_is_refused_in_a_sentence(body: Any) -> None:
    async with scripted() as host, connect_client(host.address) as client:
        response = await client.session.post("/sandbox/faults", json=body)

        assert response.status == 400
        assert "error" in await response.json()


async def test_a_frozen_host_is_thawed_through_its_own_routes() -> None:
    async with scripted() as host, connect_client(host.address) as client:
        host.freeze()

        await client.session.delete("/sandbox/faults")

        assert (await client.session.get("/prompt")).status == 200
