"""Frames of real servers."""

import json
import struct
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from imagegen.comfy import events
from tests.support.comfyui_frames import FILES, frame_of, recorded_frames
from tests.support.comfyui_recording import RECORDINGS, read_recording

# Sockets that lost their last prompt on the way: the client left or the recorder stopped,
# the server was killed, the server was told to go.
CUT_SHORT = {"bench": ["A"], "s10_reconnect": ["first"], "s21_sigkill": ["A"]} | {
    "s31_sigterm_temp": ["A"]
}
# Sockets that came when their prompt was running.
HEARD_LATE = {"s09_no_ws": ["late"], "s10_reconnect": ["second"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_frame_of_a_real_server_is_known(file: Path) -> None:
    unknown = [event for event in _replayed(file) if isinstance(event, events.Unknown)]

    assert unknown == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_on_every_socket_each_prompt_that_starts_has_one_end(file: Path) -> None:
    without_end, without_start = _loose_ends(file)

    assert without_end == CUT_SHORT.get(file.stem, [])
    assert without_start == HEARD_LATE.get(file.stem, [])


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_a_good_run_is_told_from_its_start_to_its_pictures(version: str) -> None:
    heard = list(_replayed(RECORDINGS / version / "s01_success_saveimage.jsonl"))

    kinds = [type(event).__name__ for event in heard if not isinstance(event, events.NodeProgress)]
    assert kinds == [
        "QueueChanged",
        "QueueChanged",
        "QueueChanged",
        "Started",
        "Cached",
        "NodeStarted",
        "NodeStarted",
        "NodeDone",
        "Succeeded",
        "QueueChanged",
        "Ended",
    ]
    [done] = [event for event in heard if isinstance(event, events.NodeDone)]
    assert done.output == {
        "images": [{"filename": "rec_00001_.png", "subfolder": "", "type": "output"}]
    }


def test_a_node_error_names_node_and_exception_and_no_traceback() -> None:
    heard = _replayed(RECORDINGS / "0.33" / "s12_errors.jsonl")

    failed = next(event for event in heard if isinstance(event, events.Failed))
    assert (failed.node, failed.node_type) == ("46", "UNETLoader")
    assert failed.exception_type == "safetensors._safetensors_rust.SafetensorError"
    assert failed.message == "Error while deserializing header: header too large"


def test_pictures_come_with_their_type_and_if_told_their_prompt() -> None:
    heard = list(_replayed(RECORDINGS / "0.33" / "s03_success_saveimagewebsocket.jsonl"))

    previews = [event for event in heard if isinstance(event, events.Preview)]
    assert {preview.content_type for preview in previews} == {"image/png"}
    assert {(preview.prompt_id is None, preview.node) for preview in previews} == {
        (True, None),
        (False, "2"),
    }
    assert {preview.image[:4] for preview in previews} == {b"\x89PNG"}


def test_previews_of_a_sampler_name_it() -> None:
    heard = list(_replayed(RECORDINGS / "0.33" / "s25_preview_frames.jsonl"))

    previews = [event for event in heard if isinstance(event, events.Preview)]
    assert {(preview.node, preview.content_type) for preview in previews} == {("44", "image/jpeg")}


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_the_host_answers_what_it_can_do(version: str) -> None:
    heard = _replayed(RECORDINGS / version / "s05_feature_flags.jsonl")

    features = [event for event in heard if isinstance(event, events.Features)]
    assert set(features) == {events.Features(supports_preview_metadata=True)}


def test_a_host_that_does_not_say_so_gives_no_origin_of_previews() -> None:
    event = events.read_event('{"type": "feature_flags", "data": {"news": 1}}')

    assert event == events.Features(supports_preview_metadata=False)


def test_after_a_reconnect_the_running_node_comes_without_a_prompt() -> None:
    event = events.read_event('{"type": "executing", "data": {"node": "3"}}')

    assert event == events.NodeStarted(prompt_id=None, node="3")


def test_a_node_that_a_newer_host_says_to_be_loading_has_made_no_step() -> None:
    # Read in ComfyUI's source after 0.33; no such host was recorded.
    state = {"value": 0, "max": 1, "state": "running", "activity": "loading"}
    frame = json.dumps(
        {"type": "progress_state", "data": {"prompt_id": "a", "nodes": {"5": state}}}
    )

    assert events.read_event(frame) == events.NodeProgress(prompt_id="a", nodes={"5": 0.0})


def test_crystools_tells_how_busy_each_gpu_is() -> None:
    gpus = [
        {"gpu_utilization": 97, "vram_used": 1},
        {"gpu_utilization": -1},
        {"gpu_utilization": 3},
    ]
    frame = json.dumps({"type": "crystools.monitor", "data": {"cpu_utilization": 9, "gpus": gpus}})

    assert events.read_event(frame) == events.GpusTold(utilisation=(0.97, 0.03))


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"type": "crystools.monitor", "data": {"cpu": 3}}', "crystools.monitor"),
        ('{"type": "news", "data": ["a", "b"]}', "news"),
        ('{"type": "news"}', "news"),
        ('{"type": "progress", "data": {"value": 1, "max": 2, "node": null}}', "progress"),
        (struct.pack(">I", 3) + b"hello", "text progress"),
        (struct.pack(">I", 77), "binary 77"),
    ],
)
def test_unknown_kinds_pass(frame: str | bytes, kind: str) -> None:
    event = events.read_event(frame)

    assert event == events.Unknown(kind=kind)


def _loose_ends(file: Path) -> tuple[list[str], list[str]]:
    """Give the sockets whose last prompt did not end on them, and those that missed a start."""
    running: dict[str, str | None] = {}
    without_start: list[str] = []
    for line in filter(attrgetter("is_frame"), read_recording(file)):
        match events.read_event(frame_of(line)):
            case events.Started(prompt_id=prompt_id):
                assert running.get(line.socket) is None
                running[line.socket] = prompt_id
            case events.Succeeded() | events.Failed() | events.Interrupted() as end:
                if running.get(line.socket) is None:
                    without_start.append(line.socket)
                else:
                    assert running[line.socket] == end.prompt_id
                running[line.socket] = None
    return [socket for socket, prompt_id in running.items() if prompt_id], without_start


def _replayed(file: Path) -> Iterator[events.Event]:
    return map(events.read_event, recorded_frames(file))
