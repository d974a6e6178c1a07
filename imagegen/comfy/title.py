"""What people call a node of a graph."""

from collections.abc import Mapping
from typing import Any

_SHOWN = 40


def title(graph: Mapping[str, Any], node: str, node_type: str = "") -> str:
    """Return a node's title and class, as far as graph or host know them, else its id."""
    name, kind = _title(graph, node), class_of(graph, node) or node_type
    if name and kind and name != kind:
        return f"{_short(name)} ({_short(kind)})"
    return _short(name or kind or f"node {node}")


def class_of(graph: Mapping[str, Any], node: str) -> str:
    """Return the class that the graph gives a node, or nothing."""
    entry = graph.get(node)
    kind = entry.get("class_type") if isinstance(entry, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _title(graph: Mapping[str, Any], node: str) -> str:
    entry = graph.get(node)
    meta = entry.get("_meta") if isinstance(entry, Mapping) else None
    name = meta.get("title") if isinstance(meta, Mapping) else None
    return name.strip() if isinstance(name, str) else ""


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
