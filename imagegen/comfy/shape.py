"""What a host's JSON holds, asked for by the type that it must have."""

from collections.abc import Mapping
from typing import Any


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
