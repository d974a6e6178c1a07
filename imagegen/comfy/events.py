"""Frames of ComfyUI's websocket → typed events; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33 (tests/recordings/comfyui).
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy import frame_fields
from imagegen.comfy.frame_fields import MalformedFrame
from imagegen.comfy.preview import Preview, frame_kind, read_preview

__all__ = [
    "Cached",
    "Ended",
    "Event",
    "Failed",
    "Features",
    "GpusTold",
    "Interrupted",
    "MalformedFrame",
    "NodeDone",
    "NodeProgress",
    "NodeStarted",
    "Preview",
    "QueueChanged",
    "Started",
    "Succeeded",
    "Unknown",
    "failed_event",
    "read_event",
]

# The kind of a binary frame that holds a text.
_TEXT = 3

# What reading JSON of an unexpected shape can raise; OverflowError comes of an infinite number.
_MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True, kw_only=True)
class QueueChanged:
    """How many prompts the host still has, the running one included; sent to every client."""

    remaining: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """The host has started to execute the prompt."""

    prompt_id: str


@dataclass(frozen=True, kw_only=True)
class Cached:
    """The host has the results of these nodes in its cache and does not run them."""

    prompt_id: str
    nodes: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class NodeStarted:
    """A node runs now. The frame that follows a reconnect has no prompt id."""

    prompt_id: str | None
    node: str


@dataclass(frozen=True, kw_only=True)
class NodeProgress:
    """How much of each node is done, 0 to 1, by node id."""

    prompt_id: str | None
    nodes: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class NodeDone:
    """An output node has results; `output` has the form of the host's history."""

    prompt_id: str
    node: str
    output: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The prompt has ended well; its history entry follows within milliseconds."""

    prompt_id: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A node raised an exception; `message` is the exception's, without its traceback."""

    prompt_id: str
    node: str
    node_type: str
    exception_type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """The prompt was interrupted."""

    prompt_id: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The prompt has ended, well or not; its history entry is there."""

    prompt_id: str | None


@dataclass(frozen=True, kw_only=True)
class Features:
    """The host's answer to our feature_flags; older servers send none."""

    supports_preview_metadata: bool


@dataclass(frozen=True, kw_only=True)
class GpusTold:
    """How busy each GPU of the host is, 0 to 1; sent to every client each second by Crystools.

    ComfyUI itself sends no such frame: ComfyUI-Crystools is an extension.
    """

    utilisation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A frame of a kind that this code does not know or does not use."""

    kind: str


Event = (
    QueueChanged
    | Started
    | Cached
    | NodeStarted
    | NodeProgress
    | NodeDone
    | Succeeded
    | Failed
    | Interrupted
    | Ended
    | Features
    | GpusTold
    | Preview
    | Unknown
)


def read_event(frame: str | bytes) -> Event:
    """Return the event that a text or binary frame holds.

    Raises:
        MalformedFrame: ComfyUI sends no such frame.
    """
    try:
        return _read_binary(frame) if isinstance(frame, bytes) else _read_text(frame)
    except _MALFORMED as error:
        why = type(error).__name__
    # Raised outside of the except block: the caught error may quote the frame, which may hold the
    # prompt, and would be shown as this error's context.
    raise MalformedFrame.of(frame, why)


def failed_event(fields: Mapping[str, Any]) -> Failed:
    """Read the data of an execution_error; the host's history keeps it in the same form."""
    return Failed(
        prompt_id=frame_fields.text(fields["prompt_id"]),
        node=str(fields.get("node_id", "")),
        node_type=str(fields.get("node_type", "")),
        exception_type=str(fields.get("exception_type", "")),
        message=str(fields.get("exception_message", "")).strip(),
    )


def _read_binary(frame: bytes) -> Event:
    if (preview := read_preview(frame)) is not None:
        return preview
    kind = frame_kind(frame)
    return Unknown(kind="text progress" if kind == _TEXT else f"binary {kind}")


def _read_text(frame: str) -> Event:
    message = json.loads(frame)
    kind, fields = frame_fields.text(message["type"]), message.get("data") or {}
    reader = _READERS.get(kind)
    return reader(fields) if reader else Unknown(kind=kind)


def _executing(fields: Mapping[str, Any]) -> Event:
    prompt_id = frame_fields.text_or_none(fields.get("prompt_id"))
    if fields["node"] is None:
        return Ended(prompt_id=prompt_id)
    return NodeStarted(prompt_id=prompt_id, node=frame_fields.text(fields["node"]))


def _progress(fields: Mapping[str, Any]) -> Event:
    node = fields.get("node")
    if node is None:
        return Unknown(kind="progress")
    return NodeProgress(
        prompt_id=frame_fields.text_or_none(fields.get("prompt_id")),
        nodes={frame_fields.text(node): _share(fields)},
    )


def _progress_state(fields: Mapping[str, Any]) -> Event:
    return NodeProgress(
        prompt_id=frame_fields.text_or_none(fields.get("prompt_id")),
        nodes={node: _share(state) for node, state in fields["nodes"].items()},
    )


def _gpus(fields: Mapping[str, Any]) -> Event:
    try:
        told = [float(gpu["gpu_utilization"]) for gpu in fields["gpus"]]
    except _MALFORMED:
        return Unknown(kind="crystools.monitor")  # of another version of that extension
    # -1 stands for a GPU of which nothing is known.
    return GpusTold(utilisation=tuple(min(each / 100, 1.0) for each in told if each >= 0))


def _share(state: Mapping[str, Any]) -> float:
    value, most = float(state["value"]), float(state["max"])
    share = value / most if most > 0 else 0.0
    # max(0.0, nan) is 0.0; with the arguments swapped it would be NaN.
    return min(max(0.0, share), 1.0)


_READERS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    "status": lambda fields: QueueChanged(
        remaining=int(fields["status"]["exec_info"]["queue_remaining"])
    ),
    "execution_start": lambda fields: Started(prompt_id=frame_fields.text(fields["prompt_id"])),
    "execution_cached": lambda fields: Cached(
        prompt_id=frame_fields.text(fields["prompt_id"]),
        nodes=frozenset(map(frame_fields.text, fields["nodes"])),
    ),
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": lambda fields: NodeDone(
        prompt_id=frame_fields.text(fields["prompt_id"]),
        node=frame_fields.text(fields["node"]),
        output=frame_fields.fields(fields["output"] or {}),
    ),
    "execution_success": lambda fields: Succeeded(prompt_id=frame_fields.text(fields["prompt_id"])),
    "execution_error": failed_event,
    "feature_flags": lambda fields: Features(
        supports_preview_metadata=fields.get("supports_preview_metadata") is True
    ),
    "crystools.monitor": _gpus,
    "execution_interrupted": lambda fields: Interrupted(
        prompt_id=frame_fields.text(fields["prompt_id"])
    ),
}
