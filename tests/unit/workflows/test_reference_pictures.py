"""Pictures of a persona's folder that its graph loads."""

from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.comfy.capabilities import ModelFile
from imagegen.workflows.library import load_workflows
from tests.support.workflow_exports import drawn, inputs, node, plain, write_persona_folder

COLOUR = (90, 60, 30)


def with_picture(name: str = "someone.png", **more: Any) -> dict[str, Any]:
    return plain(
        **{
            "70": node("LoadImage", "Face", image=name),
            "71": node("ImageBatch", image1=["8", 0], image2=["70", 0]),
            "9": node("SaveImage", "Save", images=["71", 0], filename_prefix="ComfyUI"),
        },
        **more,
    )


def paint(file: Path, colour: tuple[int, int, int] = COLOUR) -> None:
    texts = PngInfo()
    texts.add_text("prompt", "a secret")
    Image.new("RGB", (64, 64), colour).save(file, pnginfo=texts)


def test_the_face_of_the_folder_takes_the_place_of_what_the_graph_names(tmp_path: Path) -> None:
    paint(write_persona_folder(tmp_path, with_picture()) / "face.png")

    graph = drawn(load_workflows(tmp_path).find("lina"))

    [picture] = graph.pictures
    assert inputs(graph, "70")["image"] == picture.input_value == f"chatflow/{picture.filename}"
    assert not any(file.class_type == "LoadImage" for file in graph.requirements.models)


def test_a_picture_loses_its_metadata(tmp_path: Path) -> None:
    paint(write_persona_folder(tmp_path, with_picture()) / "face.png")

    [picture] = drawn(load_workflows(tmp_path).find("lina")).pictures

    assert b"a secret" not in picture.data


def test_the_name_follows_from_the_picture(tmp_path: Path) -> None:
    names = []
    for persona, colour in (("lina", COLOUR), ("may", COLOUR), ("ira", (1, 2, 3))):
        paint(write_persona_folder(tmp_path, with_picture(), persona=persona) / "face.png", colour)
        names.append(drawn(load_workflows(tmp_path).find(persona)).pictures[0].filename)

    assert names[0] == names[1] != names[2]


def test_files_are_found_by_the_names_in_the_graph(tmp_path: Path) -> None:
    graph = with_picture(
        "a.png",
        **{
            "72": node("LoadImage", "Coat", image="b.png"),
            "73": node("ImageBatch", image1=["71", 0], image2=["72", 0]),
        },
    )
    graph["9"] = node("SaveImage", "Save", images=["73", 0], filename_prefix="ComfyUI")
    folder = write_persona_folder(tmp_path, graph)
    paint(folder / "a.png")

    workflow = load_workflows(tmp_path).find("lina")

    assert {each.node for each in workflow.pictures} == {"70"}
    assert ModelFile(class_type="LoadImage", input="image", name="b.png") in (
        workflow.requirements.models
    )


def test_a_picture_that_no_folder_has_must_be_on_the_host(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, with_picture("someone.png"))

    workflow = load_workflows(tmp_path).find("lina")

    assert workflow.pictures == {}
    assert ModelFile(class_type="LoadImage", input="image", name="someone.png") in (
        workflow.requirements.models
    )


def test_a_file_that_is_no_picture_is_a_fault(tmp_path: Path) -> None:
    (write_persona_folder(tmp_path, with_picture()) / "face.png").write_text("no picture")

    fault = load_workflows(tmp_path).faults["lina"]

    assert "face.png" in fault.sentence
    assert "not a PNG, JPEG or WebP" in fault.sentence
