"""Binary websocket frames with a preview of the image; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33 (tests/recordings/comfyui).
"""

import json
import struct
from dataclasses import dataclass

from imagegen.comfy.frame_fields import text_or_none

# The first number of a binary frame, and the image type that follows in a frame of the first kind.
_PREVIEW = 1
_PREVIEW_WITH_METADATA = 4
_CONTENT_TYPES = {1: "image/jpeg", 2: "image/png"}
_UNKNOWN_CONTENT = "application/octet-stream"


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
