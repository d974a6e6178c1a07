"""Frames that no ComfyUI sends, and damaged frames of real servers."""

import functools
import json
import struct
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy import events
from imagegen.comfy.events import MalformedFrame
from tests.support.comfyui_frames import FILES, frame_of
from tests.support.comfyui_recording import read_recording

KINDS = (
    "feature_flags",
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


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"type": ["status"]}',
        '{"type": null}',
        '{"type": "feature_flags", "data": [1]}',
        '{"type": "execution_start", "data": {"prompt_id": 7}}',
        '{"type": "executing", "data": {"node": ["1"]}}',
        '{"type": "executed", "data": {"node": "1", "prompt_id": "p", "output": [1]}}',
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
        struct.pack(">II", 4, 13) + b'{"node_id":7}',
        struct.pack(">II", 4, 2) + b"\xff\xff",
    ],
    ids=lambda frame: repr(frame[:40]),
)
def test_a_frame_that_no_comfyui_sends_is_malformed(frame: str | bytes) -> None:
    with pytest.raises(
        MalformedFrame, match=r"in a (text|binary) frame.* of \d+ .* that begins with"
    ):
        events.read(frame)


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (
            '{"type": "executed", "data": {"node": "5", "output": "Maria on a balcony"}}',
            "KeyError in a text frame (executed) of 75 characters that begins with",
        ),
        ("Maria on a balcony", "in a text frame of 18 characters that begins with '… … … …'"),
        ('{"Maria": 1}', "KeyError in a text frame of 12 characters that begins with"),
        (
            "<html>Maria</html>",
            "in a text frame of 18 characters that begins with '<html>…</html>'",
        ),
        (
            struct.pack(">II", 4, 9) + b"Maria was",
            "in a binary frame of 17 bytes that begins with 00000004 00000009",
        ),
        (b"", "in a binary frame of 0 bytes that begins with nothing"),
    ],
)
def test_a_malformed_frame_is_named_without_what_somebody_wrote(
    frame: str | bytes, named: str
) -> None:
    with pytest.raises(MalformedFrame) as caught:
        events.read(frame)

    assert named in str(caught.value)
    assert "Maria" not in "".join(traceback.format_exception(caught.value))


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


@given(st.data())
def test_a_damaged_frame_of_a_real_server_is_an_event_or_malformed(data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(_one_of_each_kind()))
    start = data.draw(st.integers(0, len(frame)))
    end = data.draw(st.integers(start, min(len(frame), start + 8)))

    _read_or_refuse(_spliced(frame, start, end, data.draw(st.binary(max_size=4))))


@given(st.data())
def test_a_real_frame_with_any_fact_changed_is_an_event_or_malformed(data: st.DataObject) -> None:
    texts = [frame for frame in _one_of_each_kind() if isinstance(frame, str)]
    message = json.loads(data.draw(st.sampled_from(texts)))
    where = data.draw(st.sampled_from(list(_objects(message))))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(anything)

    _read_or_refuse(json.dumps(message))


def _read_or_refuse(frame: str | bytes) -> events.Event | None:
    try:
        return events.read(frame)
    except MalformedFrame:
        return None


@functools.cache
def _one_of_each_kind() -> list[str | bytes]:
    lines = [line for file in FILES for line in read_recording(file) if line.is_frame]
    kinds = {(line.kind, line.data.get("event")): line for line in lines}
    return [frame_of(line) for line in kinds.values()]


def _spliced(frame: str | bytes, start: int, end: int, piece: bytes) -> str | bytes:
    if isinstance(frame, bytes):
        return frame[:start] + piece + frame[end:]
    return frame[:start] + piece.decode("latin-1") + frame[end:]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and value:
        yield value
        for inner in value.values():
            yield from _objects(inner)
