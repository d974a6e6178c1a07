"""The client against sandbox hosts, which behave as real servers of two versions."""

import asyncio
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import (
    DrawingFailed,
    DrawingTooSlow,
    HostBusy,
    HostLacks,
    HostLost,
    ImageGone,
    ImageMissing,
    PromptLost,
    PromptRefused,
)
from imagegen.comfy.history import OutputImage
from imagegen.comfy.prompt_job import PromptResult
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)
from tests.support.patience import PATIENCE_S
from tests.support.prompt_execution import LIMITS, MS, PROMPT, client, draw, prompt_job

# Long enough that no test sees its end, in steps of 10 ms.
LONG_S = 60.0
LONG = persona_graph(steps=6000)
VERSIONS = ("0.33", "0.3.64")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_picture_is_drawn_and_fetched(version: str) -> None:
    sandbox = SandboxComfyUI(version=version, models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        result = await draw(host, persona_graph(size=(256, 320)))
        [file] = result.images
        assert isinstance(file, OutputImage)
        picture = await host.fetch(file)

    assert file.type == "temp"
    assert Image.open(io.BytesIO(picture)).size == (256, 320)
    assert [posted.client_id for posted in sandbox.posted] == [PROMPT]
    assert [drawn.prompt_id for drawn in sandbox.drawn] == [PROMPT]


@pytest.mark.parametrize("version", VERSIONS)
async def test_progress_rises_to_the_end(version: str) -> None:
    shares: list[float] = []
    sandbox = SandboxComfyUI(version=version, models=MODELS, seconds_per_picture=800 * MS)
    async with sandbox, client(sandbox.address) as host:
        await draw(host, persona_graph(), on_progress=shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len({share for share in shares if 0.1 < share < 0.9}) >= 3


async def test_the_shortest_prompt_is_not_missed() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        for colour in range(30):
            await draw(host, graph_without_model(colour), f"{PROMPT[:-2]}{colour:02}")

    assert len(sandbox.posted) == 30


async def test_two_prompts_at_a_time_get_only_their_own_events() -> None:
    one, two = f"{PROMPT[:-1]}1", f"{PROMPT[:-1]}2"
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=50 * MS)
    async with sandbox, client(sandbox.address) as host:
        first, second = await asyncio.gather(
            draw(host, persona_graph(seed=1), one), draw(host, persona_graph(seed=2), two)
        )
        first_seen = await host.fetch(first.images[0])
        second_seen = await host.fetch(second.images[0])

    assert first_seen != second_seen


async def test_a_forgotten_prompt_is_gone_from_the_history() -> None:
    async with (
        SandboxComfyUI() as sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        await draw(host, graph_without_model(1))

        await host.delete_history(PROMPT)

        assert await other_client.get("/history") == {}


async def test_a_node_without_a_picture_is_named() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        job = replace(prompt_job(graph_without_model(1)), node="1")

        with pytest.raises(ImageMissing, match="EmptyImage, node 1, made no picture"):
            await host.execution(job).run()


async def test_a_file_that_was_deleted_on_the_host_is_named() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        [file] = (await draw(host, graph_without_model(1))).images
        assert isinstance(file, OutputImage)
        sandbox.files.delete(file.filename)

        with pytest.raises(ImageGone, match=file.filename):
            await host.fetch(file)


async def test_a_prompt_that_the_host_never_had_is_lost() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        with pytest.raises(PromptLost, match="knows nothing"):
            await host.execution(prompt_job(graph_without_model(1))).resume()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_node_that_raises_costs_an_attempt(version: str) -> None:
    lora = "corrupt.safetensors"
    models = {**MODELS, "loras": [lora]}
    sandbox = SandboxComfyUI(version=version, models=models)
    async with sandbox, client(sandbox.address) as host:
        with pytest.raises(DrawingFailed, match=r"LoraLoaderModelOnly.* raised") as caught:
            await draw(host, persona_graph(lora=lora))

    assert caught.value.costs_an_attempt


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_missing_lora_is_refused_by_its_name(version: str) -> None:
    sandbox = SandboxComfyUI(version=version, models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        with pytest.raises(HostLacks, match=r"lora_name names gone\.safetensors") as caught:
            await draw(host, persona_graph(lora="gone.safetensors"))

    assert caught.value.code == "model_missing"
    assert sandbox.posted == []


async def test_a_graph_that_is_half_valid_is_refused_and_not_drawn() -> None:
    broken = {"class_type": "SaveImage", "inputs": {"images": ["77", 0], "filename_prefix": "x"}}
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        with pytest.raises(PromptRefused):
            await draw(host, {**LONG, "11": broken})

        await _idle(other_client)


async def test_a_prompt_that_somebody_interrupts_is_lost_and_costs_nothing() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        drawing, _ = await _drawing(host, LONG)

        await other_client.send("/interrupt", {})

        with pytest.raises(PromptLost, match="interrupted") as caught:
            await drawing
    assert not caught.value.costs_an_attempt


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_host_that_dies_while_it_draws_is_lost(version: str) -> None:
    sandbox = SandboxComfyUI(version=version, models=MODELS, seconds_per_picture=LONG_S)
    limits = replace(LIMITS, unreachable_s=3)
    async with sandbox, client(sandbox.address, limits) as host:
        drawing, _ = await _drawing(host, LONG)

        await sandbox.kill()

        with pytest.raises(HostLost, match=host.name):
            await drawing


async def test_a_host_that_is_not_there_is_lost() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        await sandbox.kill()

        with pytest.raises(HostLost, match="opens no websocket"):
            await draw(host, graph_without_model(1))
        with pytest.raises(HostLost, match="does not answer"):
            await host.probe()


async def test_a_host_that_came_back_can_be_asked_again() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        await draw(host, graph_without_model(1))
        await sandbox.kill()
        await sandbox.start()

        await host.probe()
        await draw(host, graph_without_model(1))

    assert len(sandbox.posted) == 2


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_draws_too_long_is_taken_off_the_host(version: str) -> None:
    limits = replace(LIMITS, drawing_s=200 * MS)
    sandbox = SandboxComfyUI(version=version, models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address, limits) as host,
        connect_client(sandbox.address) as other_client,
    ):
        with pytest.raises(DrawingTooSlow, match=r"more than 0\.2 s"):
            await draw(host, LONG)

        await _idle(other_client)
    assert [drawn.succeeded for drawn in sandbox.drawn] == [False]


async def test_what_waits_too_long_is_taken_off_and_others_are_left_alone() -> None:
    limits = replace(LIMITS, queue_s=100 * MS)
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address, limits) as host,
        connect_client(sandbox.address) as other_client,
    ):
        theirs = await other_client.post(LONG)
        await other_client.wait_for_event("progress", theirs)

        with pytest.raises(HostBusy, match=r"did not begin within 0\.1 s"):
            await draw(host, graph_without_model(1))

        queue = await other_client.get("/queue")
    assert [item[1] for item in queue["queue_running"]] == [theirs]
    assert queue["queue_pending"] == []


async def test_waiting_behind_others_does_not_count_as_drawing() -> None:
    limits = replace(LIMITS, drawing_s=1_500 * MS, silence_s=1_500 * MS)
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=600 * MS)
    async with (
        sandbox,
        client(sandbox.address, limits) as host,
        connect_client(sandbox.address) as other_client,
    ):
        for seed in range(3):
            await other_client.post(persona_graph(seed=seed))

        await draw(host, persona_graph(seed=99))

    assert sandbox.drawn[-1].prompt_id == PROMPT


async def test_a_cancelled_call_leaves_the_prompt_on_the_host() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        drawing, _ = await _drawing(host, LONG)

        drawing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await drawing
        queue = await other_client.get("/queue")
    assert [item[1] for item in queue["queue_running"]] == [PROMPT]


async def _drawing(
    host: HostClient, graph: dict[str, Any]
) -> tuple["asyncio.Task[PromptResult]", float]:
    """Begin to draw; return the task and the first share of progress above 0."""
    progress: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def note(share: float) -> None:
        if share > 0 and not progress.done():
            progress.set_result(share)

    drawing = asyncio.create_task(draw(host, graph, on_progress=note), name="drawing")
    async with asyncio.timeout(PATIENCE_S):
        return drawing, await progress


async def _idle(other_client: ComfyUIClient) -> None:
    """Wait until the host has nothing to do."""
    async with asyncio.timeout(PATIENCE_S):
        while (await other_client.get("/prompt"))["exec_info"]["queue_remaining"]:
            await other_client.wait_for_event("status")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_picture_comes_through_the_websocket(version: str) -> None:
    async with SandboxComfyUI(version=version) as sandbox, client(sandbox.address) as host:
        result = await draw(host, graph_without_model(1, save="SaveImageWebsocket"))
        picture = await host.fetch(result.images[0])

    assert len(result.images) == 1
    assert Image.open(io.BytesIO(picture)).size == (64, 48)


async def test_a_picture_sent_while_nobody_listened_is_gone() -> None:
    job = prompt_job(graph_without_model(1, save="SaveImageWebsocket"))
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        await host.execution(job).run()

        with pytest.raises(ImageGone, match="while nobody listened"):
            await host.execution(job).resume()


async def test_a_host_sends_webp_when_asked() -> None:
    async with (
        SandboxComfyUI() as sandbox,
        HostClient(HostAddress.parse(sandbox.address), limits=LIMITS, transcode="webp;90") as host,
    ):
        result = await draw(host, graph_without_model(1))
        picture = await host.fetch(result.images[0])

    assert Image.open(io.BytesIO(picture)).format == "WEBP"


async def test_a_drawing_that_is_taken_up_tells_of_its_progress_and_ends() -> None:
    shares: list[float] = []
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=2.0)
    async with sandbox, client(sandbox.address) as host:
        drawing, _ = await _drawing(host, LONG)
        drawing.cancel()
        await asyncio.wait([drawing])

        result = await host.execution(prompt_job(LONG, on_progress=shares.append)).resume()

    assert len(result.images) == 1
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert len(sandbox.drawn) == 1


async def test_a_drawing_that_is_cancelled_is_removed_from_its_host() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        drawing = host.execution(prompt_job(LONG))
        task = asyncio.create_task(drawing.run(), name="drawing")
        await _busy(other_client)

        drawing.cancel(HostBusy("nobody wants it any more"))

        with pytest.raises(HostBusy):
            await task
        assert await other_client.get("/history") == {}
        await _idle(other_client)
    assert not drawing.leaves_a_stray


async def test_a_drawing_that_is_left_to_another_stays_on_its_host() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with (
        sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other_client,
    ):
        drawing = host.execution(prompt_job(LONG))
        task = asyncio.create_task(drawing.run(), name="drawing")
        await _busy(other_client)

        drawing.cancel(HostBusy("another job waits for it"), leave=True)

        with pytest.raises(HostBusy):
            await task
        assert (await other_client.get("/prompt"))["exec_info"]["queue_remaining"] == 1
    assert not drawing.leaves_a_stray


async def _busy(other_client: ComfyUIClient) -> None:
    """Wait until the host has something to do."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await other_client.get("/prompt"))["exec_info"]["queue_remaining"]:
            await other_client.wait_for_event("status")
