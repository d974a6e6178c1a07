"""The websocket frames of recorded ComfyUI servers."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.comfyui_recording import RECORDINGS, Line, read_recording

FILES = sorted(RECORDINGS.glob("*/*.jsonl"))


def recorded_frames(file: Path) -> Iterator[str | bytes]:
    """Give all frames of a recording, of all its sockets."""
    for line in read_recording(file):
        if line.is_frame:
            yield frame_of(line)


def frame_of(line: Line) -> str | bytes:
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
