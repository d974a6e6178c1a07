"""A frame that no ComfyUI sends, named without showing what somebody wrote."""

import re
from typing import Self

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
