"""Where images are saved, and how they are fetched."""

import io
import json
import uuid
from collections.abc import Callable

import pytest
from PIL import Image

from imagegen.comfy.host_report import ask_hosts
from tests.contract.client import ContractClient
from tests.contract.graphs import FOLDER, HEIGHT, WIDTH, Graph, empty_image, previewed, saved
from tests.contract.websocket_listener import EventListener


async def _images(
    contract_client: ContractClient, listener: EventListener, graph: Graph
) -> list[dict[str, str]]:
    prompt_id = await contract_client.post(graph)
    await listener.wait_for_end(prompt_id)
    images: list[dict[str, str]] = (await contract_client.entry(prompt_id))["outputs"]["2"][
        "images"
    ]
    return images


def _opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def _is_in_its_colour(picture: Image.Image, graph: Graph) -> bool:
    """Tell whether a picture is as the graph wants it; real servers round down."""
    wanted_colour = graph["1"]["inputs"]["color"].to_bytes(3, "big")
    drawn = picture.convert("RGB").tobytes()[:3]
    return all(abs(ours - theirs) <= 1 for ours, theirs in zip(wanted_colour, drawn, strict=True))


async def test_a_saved_picture_is_in_the_output_folder_under_its_prefix(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = saved()

    (image,) = await _images(contract_client, listener, graph)
    prefix = graph["2"]["inputs"]["filename_prefix"].removeprefix(f"{FOLDER}/")
    assert image == {"filename": f"{prefix}_00001_.png", "subfolder": FOLDER, "type": "output"}


async def test_a_previewed_picture_is_in_the_temp_folder(
    contract_client: ContractClient, listener: EventListener
) -> None:
    (image,) = await _images(contract_client, listener, previewed())

    assert image["type"] == "temp"
    assert image["filename"].endswith(".png")


async def test_pictures_of_a_batch_have_names_of_their_own(
    contract_client: ContractClient, listener: EventListener
) -> None:
    images = await _images(contract_client, listener, saved(empty_image(batch_size=2)))

    assert len({image["filename"] for image in images}) == 2


@pytest.mark.parametrize("graph", [saved, previewed])
async def test_a_picture_is_served_as_it_was_drawn(
    contract_client: ContractClient, listener: EventListener, graph: Callable[[], Graph]
) -> None:
    drawn = graph()
    (image,) = await _images(contract_client, listener, drawn)

    status, content_type, body = await contract_client.view(**image)
    picture = _opened(body)
    assert (status, content_type) == (200, "image/png")
    assert (picture.format, picture.size) == ("PNG", (WIDTH, HEIGHT))
    assert _is_in_its_colour(picture, drawn)


async def test_a_picture_holds_the_graph_unless_the_host_tells_that_it_does_not(
    contract_client: ContractClient, listener: EventListener
) -> None:
    host, graph = contract_client.host, previewed()
    [report] = await ask_hosts([host.address], headers=host.headers, timeout_s=host.patience_s)

    (image,) = await _images(contract_client, listener, graph)
    _, _, body = await contract_client.view(**image)

    embedded = json.loads(_opened(body).info.get("prompt", "{}"))
    assert embedded == (graph if report.writes_prompts else {})


async def test_a_picture_can_be_had_as_webp_and_without_the_graph(
    contract_client: ContractClient, listener: EventListener
) -> None:
    (image,) = await _images(contract_client, listener, previewed())

    status, content_type, body = await contract_client.view(**image, preview="webp;90")
    picture = _opened(body)
    assert (status, content_type) == (200, "image/webp")
    assert (picture.format, picture.size) == ("WEBP", (WIDTH, HEIGHT))
    assert not picture.getexif()
    assert "prompt" not in picture.info
    assert b"class_type" not in body


async def test_a_picture_can_be_had_as_jpeg(
    contract_client: ContractClient, listener: EventListener
) -> None:
    (image,) = await _images(contract_client, listener, previewed())

    status, content_type, body = await contract_client.view(**image, preview="jpeg;90")
    assert (status, content_type) == (200, "image/jpeg")
    assert _opened(body).format == "JPEG"
    assert b"class_type" not in body


@pytest.mark.parametrize("folder", ["output", "temp"])
async def test_a_file_that_is_not_there_is_a_404(
    contract_client: ContractClient, folder: str
) -> None:
    status, _, _ = await contract_client.view(
        filename=f"{uuid.uuid4()}.png", subfolder="", type=folder
    )

    assert status == 404
