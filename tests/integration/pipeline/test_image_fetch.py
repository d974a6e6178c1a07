"""The image of a prompt is fetched as soon as its host names it, before the prompt has ended."""

import asyncio
from dataclasses import replace

from imagegen.comfy.history import OutputImage
from imagegen.pipeline.image_fetch import fetching
from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from tests.support.comfyui_client import connect_client, graph_without_model
from tests.support.patience import PATIENCE_S
from tests.support.prompt_execution import PROMPT, client, draw, prompt_job


async def test_an_image_is_fetched_before_its_prompt_is_in_the_history() -> None:
    named: asyncio.Queue[tuple[OutputImage, ...]] = asyncio.Queue()
    async with (
        SandboxComfyUI() as sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other,
        fetching(most=1) as fetch,
    ):
        sandbox.script(Fault(kind=FaultKind.LATE_HISTORY, seconds=600))

        def on_images(images: tuple[OutputImage, ...]) -> None:
            fetch.begin(host, images)
            named.put_nowait(images)

        job = replace(prompt_job(graph_without_model(1)), on_images=on_images)
        drawing = asyncio.create_task(host.execution(job).run())
        async with asyncio.timeout(PATIENCE_S):
            images = await named.get()
            early = await fetch.images(host, images)

            assert await other.get(f"/history/{PROMPT}") == {}
            # What the history says later is the same, and is not fetched again.
            assert (await fetch.images(host, images))[0] is early[0]
        drawing.cancel()
        await asyncio.wait({drawing})


async def test_another_file_than_the_host_has_named_before_is_fetched_by_itself() -> None:
    async with (
        SandboxComfyUI() as sandbox,
        client(sandbox.address) as host,
        fetching(most=1) as fetch,
    ):
        first = await draw(host, graph_without_model(1))
        second = await draw(host, graph_without_model(2), PROMPT.replace("7", "8", 1))
        named = [each for each in first.images if isinstance(each, OutputImage)]

        fetch.begin(host, named)

        (image,) = await fetch.images(host, second.images)
        assert image not in await fetch.images(host, first.images)


async def test_what_could_not_be_fetched_early_is_fetched_again() -> None:
    async with (
        SandboxComfyUI() as sandbox,
        client(sandbox.address) as host,
        client("http://127.0.0.1:9") as away,
        fetching(most=1) as fetch,
    ):
        result = await draw(host, graph_without_model(1))
        named = [each for each in result.images if isinstance(each, OutputImage)]

        fetch.begin(away, named)

        assert await fetch.images(host, result.images)


async def test_a_fetch_ends_with_its_block() -> None:
    async with SandboxComfyUI() as sandbox, client(sandbox.address) as host:
        result = await draw(host, graph_without_model(1))
        named = [each for each in result.images if isinstance(each, OutputImage)]

        async with fetching(most=1) as fetch:
            fetch.begin(host, named)

    assert [task for task in asyncio.all_tasks() if task.get_name() == "early fetch"] == []
