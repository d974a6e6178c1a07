"""Entries of a host's history."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy import history
from imagegen.comfy.errors import DrawingFailed, HostLost, ImageMissing, OutOfMemory, PromptLost
from imagegen.comfy.history import OutputImage
from imagegen.errors import ImagegenError
from tests.support.comfyui_recording import RECORDINGS, read_recording

FIELDS = ("status", "status_str", "messages", "outputs", "images", "filename", "prompt", "9")
anything = st.recursive(
    st.none() | st.sampled_from(["success", "error", "execution_error"]) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=15,
)
SUCCESS = {"status_str": "success", "completed": True, "messages": []}
IMAGE = {"filename": "a_00001_.png", "subfolder": "chatflow", "type": "temp"}


def test_the_pictures_of_the_node_are_given_and_others_are_not() -> None:
    entry = {"status": SUCCESS, "outputs": {"9": {"images": [IMAGE]}, "3": {"images": [{}]}}}

    files = history.read("gpu-1", "7f3a", entry, "9")

    assert files == (OutputImage(filename="a_00001_.png", subfolder="chatflow", type="temp"),)


def test_several_pictures_are_given_in_their_order() -> None:
    images = [{**IMAGE, "filename": name} for name in ("b.png", "a.png")]
    entry = {"status": SUCCESS, "outputs": {"9": {"images": images, "animated": [False]}}}

    files = history.read("gpu-1", "7f3a", entry, "9")

    assert [file.filename for file in files] == ["b.png", "a.png"]


def test_a_picture_without_folder_and_type_lies_where_the_host_looks_first() -> None:
    entry = {"status": SUCCESS, "outputs": {"9": {"images": [{"filename": "a.png"}]}}}

    files = history.read("gpu-1", "7f3a", entry, "9")

    assert files == (OutputImage(filename="a.png", subfolder="", type="output"),)


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
@pytest.mark.parametrize(
    ("scenario", "type_"),
    [("s01_success_saveimage", "output"), ("s02_success_previewimage", "temp")],
)
def test_pictures_of_a_real_server_are_found(version: str, scenario: str, type_: str) -> None:
    [entry, *_] = _recorded(version, scenario)

    [file] = history.read("gpu-1", "7f3a", entry, "2")

    assert file.type == type_
    assert file.filename.endswith(".png")


@pytest.mark.parametrize("outputs", [{}, {"9": {}}, {"9": None}, {"9": {"text": ["hello"]}}])
def test_a_node_without_a_picture_is_a_missing_picture(outputs: dict[str, Any]) -> None:
    with pytest.raises(ImageMissing, match="node 9 made no picture in 7f3a on gpu-1"):
        history.read("gpu-1", "7f3a", {"status": SUCCESS, "outputs": outputs}, "9")


def test_a_missing_picture_names_the_node_by_its_title() -> None:
    graph = {"9": {"class_type": "SaveImage", "_meta": {"title": "Keep it"}}}
    entry = {"prompt": [1, "7f3a", graph, {}, ["9"]], "status": SUCCESS, "outputs": {}}

    with pytest.raises(
        ImageMissing, match=r"^Keep it \(SaveImage\), node 9, made no picture in 7f3a"
    ):
        history.read("gpu-1", "7f3a", entry, "9")


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_a_node_error_of_a_real_server_names_node_and_exception(version: str) -> None:
    [corrupt, *_] = _failed(version)

    with pytest.raises(DrawingFailed) as caught:
        history.read("gpu-1", "7f3a", corrupt, "9")

    assert caught.value.sentence == (
        "UNETLoader raised safetensors._safetensors_rust.SafetensorError on gpu-1:"
        " Error while deserializing header: header too large"
    )


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_a_lack_of_memory_of_a_real_server_is_told_apart(version: str) -> None:
    [entry] = [each for each in _failed(version) if "can't allocate" in str(each)]

    with pytest.raises(OutOfMemory, match="EmptyImage ran out of memory on gpu-1"):
        history.read("gpu-1", "7f3a", entry, "2")


def test_an_error_does_not_repeat_what_the_graph_says() -> None:
    graph = {"4": {"class_type": "Style", "inputs": {"text": "Maria waits on a balcony"}}}
    fields = {"node_id": "4", "exception_type": "ValueError"} | {
        "exception_message": "no style in 'Maria waits on a balcony'"
    }
    status = {"status_str": "error", "messages": [["execution_error", fields]]}
    entry = {"prompt": [1, "7f3a", graph, {}, ["9"]], "status": status, "outputs": {}}

    with pytest.raises(DrawingFailed) as caught:
        history.read("gpu-1", "7f3a", entry, "9")

    assert caught.value.sentence == "Style raised ValueError on gpu-1: no style in '…'"


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_an_interrupt_of_a_real_server_is_a_lost_prompt(version: str) -> None:
    [entry, *_] = [each for each in _recorded(version, "s13_interrupt") if _is_error(each)]

    with pytest.raises(PromptLost, match="somebody interrupted 7f3a on gpu-1"):
        history.read("gpu-1", "7f3a", entry, "9")


def test_a_prompt_whose_picture_came_through_the_socket_has_only_to_end_well() -> None:
    history.expect_success("gpu-1", "7f3a", {"status": SUCCESS, "outputs": {}})

    with pytest.raises(HostLost, match="what no ComfyUI tells"):
        history.expect_success("gpu-1", "7f3a", {"outputs": {}})


def test_an_end_that_says_nothing_is_a_lost_prompt() -> None:
    entry = {"status": {"status_str": "error", "messages": []}, "outputs": {}}

    with pytest.raises(PromptLost, match="gpu-1 did not finish 7f3a"):
        history.read("gpu-1", "7f3a", entry, "9")


@pytest.mark.parametrize(
    "entry",
    [
        [],
        "x",
        {},
        {"status": None, "outputs": {}},
        {"status": {"status_str": "error", "messages": [["a"]]}, "outputs": {}},
        {"status": {"status_str": "error", "messages": [["execution_error", 1]]}},
        {"status": SUCCESS, "outputs": None},
        {"status": SUCCESS, "outputs": {"9": {"images": [{}]}}},
        {"status": SUCCESS, "outputs": {"9": {"images": 3}}},
        {"status": SUCCESS, "outputs": {"9": {"images": [None]}}},
        {"status": SUCCESS, "outputs": {"9": {"images": [{"filename": ["Maria"]}]}}},
    ],
)
def test_what_no_comfyui_tells_is_a_lost_host(entry: Any) -> None:
    with pytest.raises(HostLost) as caught:
        history.read("gpu-1", "7f3a", entry, "9")

    assert caught.value.__context__ is None


@given(anything)
def test_any_json_is_pictures_or_an_error_of_ours(entry: Any) -> None:
    with contextlib.suppress(ImagegenError):
        history.read("gpu-1", "7f3a", entry, "9")


def _failed(version: str) -> list[Any]:
    return [each for each in _recorded(version, "s12_errors") if _is_error(each)]


def _is_error(entry: Any) -> bool:
    return bool(entry["status"]["status_str"] == "error")


def _recorded(version: str, scenario: str) -> list[Any]:
    return [
        entry
        for line in read_recording(RECORDINGS / version / f"{scenario}.jsonl")
        if line.kind.startswith("GET /history/")
        for entry in line.data["response"].values()
    ]
