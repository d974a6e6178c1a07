"""Parts of websocket frames: typed fields, binary previews, and frames that no ComfyUI sends; pure."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_BEGINNING = 60
_KIND = re.compile(r'\s*\{\s*"type"\s*:\s*"(\w+)"')
# The protocol's own words; any other may be out of a prompt.
_KINDS = frozenset(
    (
        *("status", "feature_flags", "executing", "executed", "progress", "progress_state"),
        *("execution_start", "execution_cached", "execution_success", "execution_error"),
        "execution_interrupted",
    )
)
_WORDS = _KINDS | frozenset(
    (
        *("type", "data", "prompt_id", "node", "node_id", "node_type", "nodes", "display_node"),
        *("sid", "exec_info", "queue_remaining", "value", "max", "state", "output", "images"),
        *("timestamp", "null", "true", "false", "html", "HTML", "doctype", "DOCTYPE"),
    )
)


class MalformedFrame(ValueError):
    """A frame that no ComfyUI sends; the message names its kind and shows how it begins."""

    @classmethod
    def of(cls, frame: str | bytes, why: str) -> Self:
        """Name a frame of which only the protocol's own words and signs may be told."""
        return cls(f"{why} in {_binary(frame) if isinstance(frame, bytes) else _text(frame)}")


def _binary(frame: bytes) -> str:
    # The kind, and the length or type after it. What follows may be anything.
    beginning = frame[:8].hex(" ", 4) or "nothing"
    return f"a binary frame of {len(frame)} bytes that begins with {beginning}"


def _text(frame: str) -> str:
    beginning = frame[:_BEGINNING]
    kind = _KIND.match(beginning)
    named = f" ({kind[1]})" if kind and kind[1] in _KINDS else ""
    return f"a text frame{named} of {len(frame)} characters that begins with {_masked(beginning)!r}"


def _masked(text: str) -> str:
    return re.sub(r"\w+", lambda word: word[0] if word[0] in _WORDS else "…", text)


def text(value: Any) -> str:
    """Return a text as it is. Raises TypeError for anything else."""
    if isinstance(value, str):
        return value
    raise TypeError("not a text")


def text_or_none(value: Any) -> str | None:
    """Return a text or None as it is. Raises TypeError for anything else."""
    return None if value is None else text(value)


def fields(value: Any) -> Mapping[str, Any]:
    """Return an object as it is. Raises TypeError for anything else."""
    if isinstance(value, Mapping):
        return value
    raise TypeError("not an object")


_PICTURE = 1
_PICTURE_WITH_ORIGIN = 4
_CONTENT_TYPES = {1: "image/jpeg", 2: "image/png"}
_ANY_CONTENT = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A picture that came through the socket: on the way from a sampler, or whole from a save node.

    An old host, or one that was not told that we read it, does not say of which prompt and node.
    """

    prompt_id: str | None
    node: str | None
    content_type: str
    image: bytes


def frame_kind(frame: bytes) -> int:
    """Return the number that a binary frame begins with. Raises struct.error if it has none."""
    (kind,) = struct.unpack_from(">I", frame)
    return int(kind)


def read_preview(frame: bytes) -> Preview | None:
    """Return the picture of a binary frame, or None if it is a frame of another kind.

    Raises struct.error, ValueError, TypeError or AttributeError for what no ComfyUI sends.
    """
    kind = frame_kind(frame)
    if kind == _PICTURE:
        return _picture(frame)
    if kind == _PICTURE_WITH_ORIGIN:
        return _picture_with_origin(frame)
    return None


def _picture(frame: bytes) -> Preview:
    (image_type,) = struct.unpack_from(">I", frame, 4)
    return Preview(
        prompt_id=None,
        node=None,
        content_type=_CONTENT_TYPES.get(image_type, _ANY_CONTENT),
        image=frame[8:],
    )


def _picture_with_origin(frame: bytes) -> Preview:
    (length,) = struct.unpack_from(">I", frame, 4)
    if length > len(frame) - 8:
        raise ValueError("the header is longer than the frame")
    origin = json.loads(frame[8 : 8 + length])
    return Preview(
        prompt_id=text_or_none(origin.get("prompt_id")),
        node=text_or_none(origin.get("node_id")),
        content_type=text_or_none(origin.get("image_type")) or _ANY_CONTENT,
        image=frame[8 + length :],
    )
