"""The other routes that the worker reads or calls."""

import uuid
from typing import Any

import pytest

from tests.contract.client import Visitor
from tests.contract.graphs import saved
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear

# Class → its required inputs, and whether it is an output node.
CLASSES: dict[str, tuple[set[str], bool]] = {
    "EmptyImage": ({"width", "height", "batch_size", "color"}, False),
    "ImageScale": ({"image", "upscale_method", "width", "height", "crop"}, False),
    "SaveImage": ({"images", "filename_prefix"}, True),
    "PreviewImage": ({"images"}, True),
}


def _choices(spec: list[Any]) -> list[str]:
    """Read a list of choices in either of its forms."""
    choices: list[str] = spec[1]["options"] if spec[0] == "COMBO" else spec[0]
    return choices


async def test_the_queue_lists_what_runs_and_what_waits(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    graph = await pace.slow(visitor, ear)
    running, pending = await visitor.post(graph), await visitor.post(saved())
    await ear.hear("executing", running)
    await visitor.expect_pending(pending)

    queue = await visitor.get("/queue")
    count = await visitor.get("/prompt")
    await visitor.expect_running(running)
    (item,) = [item for item in queue["queue_running"] if item[1] == running]
    assert isinstance(item[0], int | float)
    assert item[2].keys() == graph.keys()
    assert item[3]["client_id"] == visitor.client_id
    assert pending in [item[1] for item in queue["queue_pending"]]
    assert count["exec_info"]["queue_remaining"] >= 2


async def test_the_host_tells_its_version_and_its_memory(visitor: Visitor) -> None:
    stats = await visitor.get("/system_stats")

    version = stats["system"]["comfyui_version"].split(".")
    device = stats["devices"][0]
    assert [part.isdigit() for part in version[:2]] == [True, True]
    assert isinstance(device["name"], str)
    assert min(device["vram_total"], device["vram_free"]) >= 0


@pytest.mark.parametrize("class_type", CLASSES)
async def test_a_class_is_described(visitor: Visitor, class_type: str) -> None:
    told = await visitor.get(f"/object_info/{class_type}")

    inputs, is_output = CLASSES[class_type]
    assert told.keys() == {class_type}
    assert told[class_type]["input"]["required"].keys() >= inputs
    assert told[class_type]["output_node"] is is_output


async def test_choices_are_listed(visitor: Visitor) -> None:
    told = await visitor.get("/object_info/ImageScale")

    required = told["ImageScale"]["input"]["required"]
    assert "lanczos" in _choices(required["upscale_method"])


async def test_model_files_are_listed_where_a_node_asks_for_them(visitor: Visitor) -> None:
    told = await visitor.get("/object_info/VAELoader")

    names = _choices(told["VAELoader"]["input"]["required"]["vae_name"])
    assert all(isinstance(name, str) for name in names)


async def test_a_seed_may_have_64_bits(visitor: Visitor) -> None:
    told = await visitor.get("/object_info/KSampler")

    _, settings = told["KSampler"]["input"]["required"]["seed"]
    assert (settings["min"], settings["max"]) == (0, 2**64 - 1)


async def test_a_class_that_is_not_installed_is_an_empty_object(visitor: Visitor) -> None:
    assert await visitor.get("/object_info/NoHostHasThisNode") == {}


async def test_all_classes_can_be_had_at_once(visitor: Visitor) -> None:
    told = await visitor.get("/object_info")

    assert told.keys() >= CLASSES.keys()


async def test_model_files_are_listed_by_folder(visitor: Visitor) -> None:
    folders = await visitor.get("/models")

    files = await visitor.get("/models/vae")
    assert {"diffusion_models", "text_encoders", "vae", "loras"} <= set(folders)
    assert all(isinstance(name, str) for name in files)


async def test_memory_can_be_freed(visitor: Visitor) -> None:
    # Asked for nothing: others want their models where they are.
    status, _ = await visitor.send("/free", {"unload_models": False, "free_memory": False})

    assert status == 200


@pytest.mark.parametrize(
    "path", ["/api/prompt", "/api/queue", "/api/system_stats", "/api/object_info/SaveImage"]
)
async def test_what_is_read_is_also_under_api(visitor: Visitor, path: str) -> None:
    told = await visitor.get(path)

    plain = await visitor.get(path.removeprefix("/api"))
    assert told.keys() == plain.keys()


async def test_the_feed_and_the_history_are_also_under_api(visitor: Visitor) -> None:
    async with visitor.listen("/api/ws") as ear:
        first = await ear.next()

    history = await visitor.get(f"/api/history/{uuid.uuid4()}")
    assert (first.kind, first.facts["sid"]) == ("status", visitor.client_id)
    assert history == {}
