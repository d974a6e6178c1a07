"""Entries of a host's history."""

from typing import Any

import pytest

from imagegen.comfy import history
from imagegen.comfy.errors import DrawingFailed, HostLost, PictureMissing, PromptLost
from imagegen.comfy.history import PictureFile
from tests.comfyui_recording import RECORDINGS, read_recording

SUCCESS = {"status_str": "success", "completed": True, "messages": []}
IMAGE = {"filename": "a_00001_.png", "subfolder": "chatflow", "type": "temp"}


def test_the_pictures_of_the_node_are_given_and_others_are_not() -> None:
    entry = {"status": SUCCESS, "outputs": {"9": {"images": [IMAGE]}, "3": {"images": [{}]}}}

    files = history.read("gpu-1", "7f3a", entry, "9")

    assert files == (PictureFile(filename="a_00001_.png", subfolder="chatflow", type="temp"),)


@pytest.mark.parametrize("outputs", [{}, {"9": {}}, {"9": None}, {"9": {"text": ["hello"]}}])
def test_a_node_without_a_picture_is_a_missing_picture(outputs: dict[str, Any]) -> None:
    with pytest.raises(PictureMissing, match="gpu-1 made no picture at node 9 of 7f3a"):
        history.read("gpu-1", "7f3a", {"status": SUCCESS, "outputs": outputs}, "9")


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_a_node_error_is_told_from_an_interrupt(version: str) -> None:
    [failed, *_] = [
        entry
        for entry in _recorded(version, "s12_errors")
        if entry["status"]["status_str"] == "error"
    ]
    interrupted = {"status_str": "error", "messages": [["execution_interrupted", {}]]}

    with pytest.raises(DrawingFailed):
        history.read("gpu-1", "7f3a", failed, "9")
    with pytest.raises(PromptLost):
        history.read("gpu-1", "7f3a", {"status": interrupted, "outputs": {}}, "9")


@pytest.mark.parametrize(
    "entry",
    [
        [],
        "x",
        {},
        {"status": None, "outputs": {}},
        {"status": {"status_str": "error", "messages": [["a"]]}, "outputs": {}},
        {"status": SUCCESS, "outputs": None},
        {"status": SUCCESS, "outputs": {"9": []}},
        {"status": SUCCESS, "outputs": {"9": {"images": [{}]}}},
        {"status": SUCCESS, "outputs": {"9": {"images": 3}}},
    ],
)
def test_what_no_comfyui_tells_is_a_lost_host(entry: Any) -> None:
    with pytest.raises((HostLost, PictureMissing)):
        history.read("gpu-1", "7f3a", entry, "9")


def _recorded(version: str, scenario: str) -> list[Any]:
    return [
        entry
        for line in read_recording(RECORDINGS / version / f"{scenario}.jsonl")
        if line.kind.startswith("GET /history/")
        for entry in line.data["response"].values()
    ]
