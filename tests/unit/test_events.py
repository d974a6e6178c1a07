"""Frames of real servers, and frames of nobody."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy import events
from imagegen.comfy.events import MalformedFrame
from tests.comfyui_recording import RECORDINGS, Line, read_recording

FILES = sorted(RECORDINGS.glob("*/*.jsonl"))
KINDS = (
    "status",
    "execution_start",
    "execution_cached",
    "executing",
    "progress",
    "progress_state",
    "executed",
    "execution_success",
    "execution_error",
    "execution_interrupted",
)
FIELDS = ("prompt_id", "node", "nodes", "output", "status", "exec_info", "value", "max")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_frame_of_a_real_server_is_known(file: Path) -> None:
    unknown = {event.kind for event in _replayed(file) if isinstance(event, events.Unknown)}

    assert unknown <= {"feature_flags"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_prompt_that_starts_has_one_end(file: Path) -> None:
    heard = list(_replayed(file))

    started = [event.prompt_id for event in heard if isinstance(event, events.Started)]
    ended = [
        event.prompt_id
        for event in heard
        if isinstance(event, events.Succeeded | events.Failed | events.Interrupted)
    ]
    assert ended == started


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
    assert {preview.prompt_id is None for preview in previews} == {True, False}
    assert {preview.image[:4] for preview in previews} == {b"\x89PNG"}


def test_after_a_reconnect_the_running_node_comes_without_a_prompt() -> None:
    event = events.read('{"type": "executing", "data": {"node": "3"}}')

    assert event == events.NodeStarted(prompt_id=None, node="3")


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
    event = events.read(frame)

    assert event == events.Unknown(kind=kind)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"type": ["status"]}',
        '{"type": "status", "data": {"status": null}}',
        '{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": Infinity}}}}',
        '{"type": "execution_success", "data": "now"}',
        '{"type": "progress", "data": {"node": "1", "value": 1, "max": 1' + "0" * 400 + "}}",
        "[" * 100_000,
        b"",
        b"\0\0",
        struct.pack(">I", 1),
        struct.pack(">II", 4, 1000) + b"{}",
        struct.pack(">II", 4, 2) + b"[]",
        struct.pack(">II", 4, 2) + b"\xff\xff",
    ],
    ids=lambda frame: repr(frame[:40]),
)
def test_a_frame_that_no_comfyui_sends_is_malformed(frame: str | bytes) -> None:
    with pytest.raises(MalformedFrame, match="in frame"):
        events.read(frame)


@given(st.text() | st.binary() | st.binary().map(lambda rest: b"\0\0\0\4\0\0\0\2" + rest))
def test_any_bytes_and_any_text_are_an_event_or_malformed(frame: str | bytes) -> None:
    _read_or_refuse(frame)


@given(st.sampled_from(KINDS), anything)
def test_known_kinds_with_any_facts_are_an_event_or_malformed(kind: str, facts: object) -> None:
    _read_or_refuse(json.dumps({"type": kind, "data": facts}))


@given(st.floats() | st.integers(), st.floats() | st.integers())
def test_a_share_lies_between_none_and_all(value: float, most: float) -> None:
    facts = {"node": "1", "value": value, "max": most}

    event = _read_or_refuse(json.dumps({"type": "progress", "data": facts}))

    assert event is None or (isinstance(event, events.NodeProgress) and 0 <= event.nodes["1"] <= 1)


def _read_or_refuse(frame: str | bytes) -> events.Event | None:
    try:
        return events.read(frame)
    except MalformedFrame:
        return None


def _replayed(file: Path) -> Iterator[events.Event]:
    for line in read_recording(file):
        if line.direction == "recv":
            yield events.read(_frame(line))


def _frame(line: Line) -> str | bytes:
    if line.kind != "binary":
        return json.dumps(line.data)
    return _picture(line.data)


def _picture(recorded: dict[str, Any]) -> bytes:
    """Rebuild a binary frame, of which recordings keep the beginning and the facts."""
    if "meta" not in recorded:
        return base64.b64decode(recorded["b64_64"])
    facts = json.dumps(recorded["meta"]).encode()
    head = struct.pack(">II", recorded["event"], len(facts))
    return head + facts + bytes.fromhex(recorded["payload_magic"])
