"""Files of graphs as servers, scripts and pictures carry them."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph_file import read_graph
from tests.support.workflow_exports import bound, fault, inputs, loaded, lora, node, plain


@pytest.mark.parametrize(
    "wrap",
    [
        lambda graph: {"prompt": graph},
        lambda graph: {"input": {"workflow": graph, "images": []}},
        lambda graph: {"output": graph, "workflow": {"nodes": [], "links": []}},
        lambda graph: {"client_id": "x", "prompt": graph, "extra_data": {"extra_pnginfo": {}}},
    ],
)
def test_a_graph_within_other_objects_is_found(tmp_path: Path, wrap: Any) -> None:
    assert inputs(bound(tmp_path, wrap(plain())), "27")["text"] == "a dog"


def test_two_graphs_in_a_file_are_named(tmp_path: Path) -> None:
    broken = fault(tmp_path, {"small": plain(), "large": plain()})

    assert "has several graphs, in small, large" in broken.why


def test_notes_beside_the_nodes_are_left_out(tmp_path: Path) -> None:
    graph = plain(_meta={"title": "Mine"}, version=0.4, extra={"a": 1})

    assert not {"_meta", "version", "extra"} & set(bound(tmp_path, graph).graph)


def test_a_wrapped_editor_file_is_named(tmp_path: Path) -> None:
    assert "the editor's own format" in fault(tmp_path, {"workflow": {"nodes": []}}).why


def test_lists_that_are_no_links_are_kept_as_they_are(tmp_path: Path) -> None:
    lists: dict[str, Any] = {
        "size": [1024, 768],
        "names": ["a", "b"],
        "points": [[1, 2]],
        "empty": [],
    }
    sizes = node("EmptySD3LatentImage", width=1024, height=768, batch_size=1, **lists)

    drawn = inputs(bound(tmp_path, plain(**{"13": sizes})), "13")

    assert {name: drawn[name] for name in lists} == lists


def test_a_link_whose_id_is_a_number_is_a_link(tmp_path: Path) -> None:
    drawn = bound(tmp_path, plain(**{"8": node("VAEDecode", samples=[3, 0], vae=["29", 0])}))

    assert inputs(drawn, "8")["samples"] == ["3", 0]


def test_a_png_with_an_embedded_graph_is_read(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("prompt", json.dumps(plain()))
    text.add_text("workflow", json.dumps({"nodes": []}))
    Image.new("RGB", (8, 8)).save(tmp_path / "nora.png", pnginfo=text)

    assert read_graph(tmp_path / "nora.png").nodes["27"].inputs["text"] == "a cat"


def test_a_png_without_a_graph_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "nora.png")

    with pytest.raises(WorkflowFault, match="this picture has no graph in it"):
        read_graph(tmp_path / "nora.png")


def test_a_save_node_that_passes_its_picture_on_is_the_save_node(tmp_path: Path) -> None:
    passing = {
        "9": node("Image Save", images=["8", 0], filename_prefix="x"),
        "10": node("PreviewImage", images=["9", 0]),
    }

    drawn = bound(tmp_path, plain(**passing))

    assert drawn.output_node == "9"
    assert "10" not in drawn.graph


def test_a_lora_stack_that_is_switched_off_needs_no_file(tmp_path: Path) -> None:
    stack = node(
        "Power Lora Loader (rgthree)",
        model=["28", 0],
        lora_1={"on": True, "lora": "on.safetensors", "strength": 0.5},
        lora_2={"on": False, "lora": "off.safetensors", "strength": 1},
    )
    stacker = node("LoRA Stacker", lora_name_1="None", lora_name="None", lora_stack=["40", 0])

    workflow = loaded(tmp_path, plain(**{"40": stack, "41": stacker, "42": lora()}))

    names = {file.name for file in workflow.requirements.models}
    assert "on.safetensors" in names
    assert "off.safetensors" not in names


def test_an_image_to_image_graph_needs_no_size(tmp_path: Path) -> None:
    picture = {
        "70": node("LoadImage", image="face.png"),
        "71": node("ImageScale", image=["70", 0], width=1000, height=0),
        "13": node("VAEEncode", pixels=["71", 0], vae=["29", 0]),
    }

    drawn = bound(tmp_path, plain(**picture))

    assert (drawn.width, drawn.height) == (None, None)
    assert inputs(drawn, "71")["width"] == 1000


@pytest.mark.parametrize("size", [(1000, 1000), (4200, 64)])
def test_a_size_of_the_graphs_own_is_not_judged(tmp_path: Path, size: tuple[int, int]) -> None:
    latent = node("EmptyLatentImage", width=size[0], height=size[1], batch_size=1)

    assert bound(tmp_path, plain(**{"13": latent})).width == size[0]


def test_a_batch_becomes_one_unless_asked_for(tmp_path: Path) -> None:
    latent = node("EmptySD3LatentImage", width=1024, height=768, batch_size=4)
    repeated = node("RepeatLatentBatch", samples=["13", 0], amount=3)
    graph = plain(**{"13": latent, "14": repeated})
    graph["3"]["inputs"]["latent_image"] = ["14", 0]

    drawn = bound(tmp_path, graph)

    assert (inputs(drawn, "13")["batch_size"], inputs(drawn, "14")["amount"]) == (1, 1)


@pytest.mark.parametrize(
    ("latent", "line"),
    [
        (
            node("EmptyHunyuanLatentVideo", width=832, height=480, length=81, batch_size=1),
            '"13".length = 1',
        ),
        (
            node("EmptySD3LatentImage", width=832, height=480, length=["70", 0], batch_size=1),
            '"70".value = 1',
        ),
    ],
)
def test_frames_of_a_video_are_named_with_the_line_that_makes_one_picture(
    tmp_path: Path, latent: dict[str, Any], line: str
) -> None:
    graph = plain(**{"13": latent, "70": node("PrimitiveInt", value=81)})

    broken = fault(tmp_path / "a", graph)

    assert "makes 81 frames of a video" in broken.why
    assert line in broken.why
    assert loaded(tmp_path / "b", graph, more=f"[inputs]\n{line}")


def test_moving_pictures_are_named(tmp_path: Path) -> None:
    moving = node("ADE_AnimateDiffLoaderGen1", model=["28", 0], model_name="mm.ckpt")

    assert "makes frames of a video" in fault(tmp_path, plain(**{"40": moving})).why
