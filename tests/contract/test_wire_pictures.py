"""Where pictures end up, and how they are fetched."""

import io
import json
import uuid
from collections.abc import Callable

import pytest
from PIL import Image

from tests.contract.client import Visitor
from tests.contract.graphs import FOLDER, HEIGHT, WIDTH, Graph, empty_image, previewed, saved
from tests.contract.websocket_listener import Ear


async def _images(visitor: Visitor, ear: Ear, graph: Graph) -> list[dict[str, str]]:
    prompt_id = await visitor.post(graph)
    await ear.hear_end(prompt_id)
    images: list[dict[str, str]] = (await visitor.entry(prompt_id))["outputs"]["2"]["images"]
    return images


def _opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def _is_in_its_colour(picture: Image.Image, graph: Graph) -> bool:
    """Tell whether a picture is as the graph wants it; real servers round down."""
    wanted = graph["1"]["inputs"]["color"].to_bytes(3, "big")
    drawn = picture.convert("RGB").tobytes()[:3]
    return all(abs(ours - theirs) <= 1 for ours, theirs in zip(wanted, drawn, strict=True))


async def test_a_saved_picture_is_in_the_output_folder_under_its_prefix(
    visitor: Visitor, ear: Ear
) -> None:
    graph = saved()

    (image,) = await _images(visitor, ear, graph)
    prefix = graph["2"]["inputs"]["filename_prefix"].removeprefix(f"{FOLDER}/")
    assert image == {"filename": f"{prefix}_00001_.png", "subfolder": FOLDER, "type": "output"}


async def test_a_previewed_picture_is_in_the_temp_folder(visitor: Visitor, ear: Ear) -> None:
    (image,) = await _images(visitor, ear, previewed())

    assert image["type"] == "temp"
    assert image["filename"].endswith(".png")


async def test_pictures_of_a_batch_have_names_of_their_own(visitor: Visitor, ear: Ear) -> None:
    images = await _images(visitor, ear, saved(empty_image(batch_size=2)))

    assert len({image["filename"] for image in images}) == 2


@pytest.mark.parametrize("graph", [saved, previewed])
async def test_a_picture_is_served_as_it_was_drawn(
    visitor: Visitor, ear: Ear, graph: Callable[[], Graph]
) -> None:
    drawn = graph()
    (image,) = await _images(visitor, ear, drawn)

    status, content_type, body = await visitor.view(**image)
    picture = _opened(body)
    assert (status, content_type) == (200, "image/png")
    assert (picture.format, picture.size) == ("PNG", (WIDTH, HEIGHT))
    assert _is_in_its_colour(picture, drawn)


async def test_a_saved_picture_holds_the_graph(visitor: Visitor, ear: Ear) -> None:
    stats = await visitor.get("/system_stats")
    if "--disable-metadata" in stats["system"].get("argv", ()):
        visitor.host.give_up("it runs with --disable-metadata")
    graph = previewed()
    (image,) = await _images(visitor, ear, graph)
    _, _, body = await visitor.view(**image)

    embedded = json.loads(_opened(body).info["prompt"])
    assert embedded["2"]["inputs"] == graph["2"]["inputs"]


async def test_a_picture_can_be_had_as_webp_and_without_the_graph(
    visitor: Visitor, ear: Ear
) -> None:
    (image,) = await _images(visitor, ear, previewed())

    status, content_type, body = await visitor.view(**image, preview="webp;90")
    picture = _opened(body)
    assert (status, content_type) == (200, "image/webp")
    assert (picture.format, picture.size) == ("WEBP", (WIDTH, HEIGHT))
    assert not picture.getexif()
    assert "prompt" not in picture.info
    assert b"class_type" not in body


async def test_a_picture_can_be_had_as_jpeg(visitor: Visitor, ear: Ear) -> None:
    (image,) = await _images(visitor, ear, previewed())

    status, content_type, body = await visitor.view(**image, preview="jpeg;90")
    assert (status, content_type) == (200, "image/jpeg")
    assert _opened(body).format == "JPEG"
    assert b"class_type" not in body


@pytest.mark.parametrize("folder", ["output", "temp"])
async def test_a_file_that_is_not_there_is_a_404(visitor: Visitor, folder: str) -> None:
    status, _, _ = await visitor.view(filename=f"{uuid.uuid4()}.png", subfolder="", type=folder)

    assert status == 404
