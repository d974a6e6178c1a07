"""Parts of websocket frames: typed fields, binary previews, malformed frames; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33 (tests/recordings/comfyui).
"""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

# How many characters of a malformed text frame are shown.
_SHOWN_LENGTH = 60
_KIND = re.compile(r'\s*\{\s*"type"\s*:\s*"(\w+)"')
_KINDS = frozenset(
    (
        *("status", "feature_flags", "executing", "executed", "progress", "progress_state"),
        *("execution_start", "execution_cached", "execution_success", "execution_error"),
        "execution_interrupted",
    )
)
# Words of the protocol. Any other word of a frame may come from a prompt and is not shown.
_WORDS = _KINDS | frozenset(
    (
        *("type", "data", "prompt_id", "node", "node_id", "node_type", "nodes", "display_node"),
        *("sid", "exec_info", "queue_remaining", "value", "max", "state", "output", "images"),
        *("timestamp", "null", "true", "false", "html", "HTML", "doctype", "DOCTYPE"),
    )
)

# The first number of a binary frame, and the image type that follows in a frame of the first kind.
_PREVIEW = 1
_PREVIEW_WITH_METADATA = 4
_CONTENT_TYPES = {1: "image/jpeg", 2: "image/png"}
_UNKNOWN_CONTENT = "application/octet-stream"


class MalformedFrame(ValueError):
    """A frame that ComfyUI does not send; the message names its kind and shows how it begins."""

    @classmethod
    def of(cls, frame: str | bytes, why: str) -> Self:
        """Describe a frame; of its text only words of the protocol and punctuation are shown."""
        described = _binary(frame) if isinstance(frame, bytes) else _text(frame)
        return cls(f"{why} in {described}")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """An image from the websocket: a sampler's preview, or the result of SaveImageWebsocket.

    `prompt_id` and `node` are None on an old host, and on any host to which we did not announce
    `supports_preview_metadata`.
    """

    prompt_id: str | None
    node: str | None
    content_type: str
    image: bytes


def text(value: Any) -> str:
    """Return a text as it is.

    Raises:
        TypeError: the value is not a text.
    """
    if isinstance(value, str):
        return value
    raise TypeError("not a text")


def text_or_none(value: Any) -> str | None:
    """Return a text or None as it is.

    Raises:
        TypeError: the value is neither.
    """
    return None if value is None else text(value)


def fields(value: Any) -> Mapping[str, Any]:
    """Return a JSON object as it is.

    Raises:
        TypeError: the value is not an object.
    """
    if isinstance(value, Mapping):
        return value
    raise TypeError("not an object")


def frame_kind(frame: bytes) -> int:
    """Return the number that a binary frame begins with.

    Raises:
        struct.error: the frame has fewer than four bytes.
    """
    (kind,) = struct.unpack_from(">I", frame)
    return int(kind)


def read_preview(frame: bytes) -> Preview | None:
    """Return the image of a binary frame, or None if the frame is of another kind.

    Raises:
        struct.error, ValueError, TypeError, AttributeError: ComfyUI sends no such frame.
    """
    kind = frame_kind(frame)
    if kind == _PREVIEW:
        return _preview(frame)
    if kind == _PREVIEW_WITH_METADATA:
        return _preview_with_metadata(frame)
    return None


def _preview(frame: bytes) -> Preview:
    (image_type,) = struct.unpack_from(">I", frame, 4)
    return Preview(
        prompt_id=None,
        node=None,
        content_type=_CONTENT_TYPES.get(image_type, _UNKNOWN_CONTENT),
        image=frame[8:],
    )


def _preview_with_metadata(frame: bytes) -> Preview:
    (length,) = struct.unpack_from(">I", frame, 4)
    if length > len(frame) - 8:
        raise ValueError("the header is longer than the frame")
    metadata = json.loads(frame[8 : 8 + length])
    return Preview(
        prompt_id=text_or_none(metadata.get("prompt_id")),
        node=text_or_none(metadata.get("node_id")),
        content_type=text_or_none(metadata.get("image_type")) or _UNKNOWN_CONTENT,
        image=frame[8 + length :],
    )


def _binary(frame: bytes) -> str:
    # The first eight bytes are the kind, and a length or type. What follows may be anything.
    beginning = frame[:8].hex(" ", 4) or "nothing"
    return f"a binary frame of {len(frame)} bytes that begins with {beginning}"


def _text(frame: str) -> str:
    beginning = frame[:_SHOWN_LENGTH]
    kind = _KIND.match(beginning)
    named = f" ({kind[1]})" if kind and kind[1] in _KINDS else ""
    return f"a text frame{named} of {len(frame)} characters that begins with {_masked(beginning)!r}"


def _masked(text: str) -> str:
    return re.sub(r"\w+", lambda word: word[0] if word[0] in _WORDS else "…", text)
