"""Typed access to the fields of a frame, and frames that no ComfyUI sends; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33 (tests/recordings/comfyui).
"""

import re
from collections.abc import Mapping
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


class MalformedFrame(ValueError):
    """A frame that ComfyUI does not send; the message names its kind and shows how it begins."""

    @classmethod
    def of(cls, frame: str | bytes, why: str) -> Self:
        """Describe a frame; of its text only words of the protocol and punctuation are shown."""
        described = _binary(frame) if isinstance(frame, bytes) else _text(frame)
        return cls(f"{why} in {described}")


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
