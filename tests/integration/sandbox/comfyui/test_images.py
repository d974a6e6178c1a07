"""The sandbox ComfyUI draws pictures that one can tell apart, and shows them as a real host does."""

import io
import json
from typing import Any

import pytest
from PIL import Image

from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)


async def test_a_picture_has_the_size_that_was_asked_for_and_tells_its_graph() -> None:
    graph = persona_graph(size=(768, 1024))

    picture = Image.open(io.BytesIO(await _drawn(graph)))

    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (768, 1024))
    assert json.loads(picture.info["prompt"]) == graph


async def test_a_picture_for_nobody_to_look_at_is_drawn_smaller_in_its_proportions() -> None:
    graph = persona_graph(size=(768, 1024))

    picture = Image.open(io.BytesIO(await _drawn(graph, longest_side=256)))

    assert picture.size == (192, 256)


async def test_the_same_persona_and_seed_give_the_same_picture() -> None:
    assert await _pixels(persona_graph()) == await _pixels(persona_graph())


@pytest.mark.parametrize(
    "other",
    [persona_graph(seed=2), persona_graph(lora="una_zit.safetensors")],
    ids=["seed", "persona"],
)
async def test_another_seed_or_persona_gives_another_picture(other: dict[str, Any]) -> None:
    assert await _pixels(persona_graph()) != await _pixels(other)


async def test_a_picture_from_view_is_re_encoded_without_its_graph() -> None:
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox, connect_client(sandbox.address) as client:
        params = {**await _saved(client), "preview": "webp;80"}
        async with client.session.get("/view", params=params) as response:
            picture = Image.open(io.BytesIO(await response.read()))

    assert response.content_type == "image/webp"
    assert picture.format == "WEBP"
    assert "prompt" not in picture.info


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"filename": "nope.png"}, 404),
        ({"filename": ""}, 404),
        ({"type": "temp"}, 404),
        ({"type": "bogus"}, 400),
        ({"filename": "../x.png"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"subfolder": "../.."}, 403),
    ],
)
async def test_view_answers_like_a_real_host(changed: dict[str, str], status: int) -> None:
    sandbox = SandboxComfyUI()
    async with sandbox, connect_client(sandbox.address) as client:
        params = {**await _saved(client), **changed}
        async with client.session.get("/view", params=params) as response:
            assert response.status == status


async def test_file_numbers_go_on_and_are_given_again_when_files_are_gone() -> None:
    sandbox = SandboxComfyUI()
    async with sandbox, connect_client(sandbox.address) as client:
        names = [(await _saved(client, colour))["filename"] for colour in range(2)]
        sandbox.files.delete(names[-1])

        names.append((await _saved(client, 2))["filename"])

    assert names == ["quick_00001_.png", "quick_00002_.png", "quick_00002_.png"]


async def test_nodes_without_models_change_pictures() -> None:
    scaled = {"upscale_method": "bilinear", "width": 32, "height": 0, "crop": "disabled"}
    graph = graph_without_model(0x102030) | {
        "3": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], **scaled}},
        "4": {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}},
        "5": {"class_type": "ImageBatch", "inputs": {"image1": ["4", 0], "image2": ["1", 0]}},
    }
    graph["2"]["inputs"]["images"] = ["5", 0]

    picture = Image.open(io.BytesIO(await _drawn(graph)))

    assert picture.size == (32, 24)
    assert picture.getpixel((0, 0)) == (0xEF, 0xDF, 0xCF)


async def test_a_node_that_fails_names_the_exception() -> None:
    graph = graph_without_model(1)
    graph["2"]["inputs"]["images"] = "no link"
    sandbox = SandboxComfyUI()
    async with sandbox, connect_client(sandbox.address) as client:
        facts = await client.wait_for_event("execution_error", await client.post(graph))

    assert facts["exception_type"] == "AttributeError"
    assert facts["node_type"] == "SaveImage"


async def _drawn(graph: dict[str, Any], *, longest_side: int | None = None) -> bytes:
    sandbox = SandboxComfyUI(models=MODELS, longest_side=longest_side)
    async with sandbox, connect_client(sandbox.address) as client:
        prompt_id = await client.post(graph)
        await client.wait_for_end(prompt_id)
        return await client.picture(prompt_id)


async def _pixels(graph: dict[str, Any]) -> bytes:
    with Image.open(io.BytesIO(await _drawn(graph))) as picture:
        return picture.tobytes()


async def _saved(client: ComfyUIClient, colour: int = 0) -> dict[str, str]:
    facts = await client.wait_for_event("executed", await client.post(graph_without_model(colour)))
    image: dict[str, str] = facts["output"]["images"][0]
    return image
