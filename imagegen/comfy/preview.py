"""Binary frames of ComfyUI's websocket → pictures on the way; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33 (tests/recordings/comfyui).
"""

import json
import struct
from dataclasses import dataclass

from imagegen.comfy.shape import text_or_none

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


def kind_of(frame: bytes) -> int:
    """Return the number that a binary frame begins with. Raises struct.error if it has none."""
    (kind,) = struct.unpack_from(">I", frame)
    return int(kind)


def read(frame: bytes) -> Preview | None:
    """Return the picture of a binary frame, or None if it is a frame of another kind.

    Raises struct.error, ValueError, TypeError or AttributeError for what no ComfyUI sends.
    """
    kind = kind_of(frame)
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
