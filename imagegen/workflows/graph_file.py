"""Reads the file of a graph: an export in API format, alone or within another object, or a PNG.

ComfyUI writes the graph of a picture into its PNG file, in the text `prompt`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Node, checked_graph, input_value

_EXPORT = "export it from ComfyUI with Workflow → Export (API)"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Servers and scripts put the graph into one or two objects: {"input": {"workflow": {…}}}.
_MOST_WRAPPERS = 3


def read_graph(file: Path) -> Graph:
    """Read and check a file that was exported from ComfyUI in API format, or a PNG of ComfyUI.

    Raises:
        WorkflowFault: the file cannot be read, is of another format, or a link in it is broken.
    """
    raw = _unwrapped(file, _parsed(file))
    found = {
        node_id: value
        for node_id, value in raw.items()
        if _is_node(value) or _is_meant_as_node(node_id, value)
    }
    if not found:
        raise WorkflowFault(file, "the graph has no nodes")
    nodes = {node_id: _node(file, node_id, value, found) for node_id, value in found.items()}
    return checked_graph(file, nodes)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WorkflowFault(file, f"cannot be read: {error.strerror}") from error
    text = _embedded(file) if data.startswith(_PNG_SIGNATURE) else data
    try:
        raw = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise WorkflowFault(file, f"is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise WorkflowFault(file, "is not an object of nodes by id")
    return raw


def _embedded(file: Path) -> str:
    """Return the text of a PNG in which ComfyUI keeps the graph."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            text = image.text.get("prompt") if isinstance(image, PngImageFile) else None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise WorkflowFault(file, f"is no PNG that can be read: {error}") from error
    if text is None:
        raise WorkflowFault(
            file, f"this picture has no graph in it: open its workflow and {_EXPORT}"
        )
    return str(text)


def _unwrapped(file: Path, raw: dict[str, Any]) -> Mapping[str, Any]:
    """Return the object that has the nodes: the whole file, or the one within it."""
    graphs = list(_graphs_in(raw, depth=0))
    if len(graphs) == 1:
        return graphs[0][1]
    if graphs:
        keys = ", ".join(key for key, _ in graphs)
        raise WorkflowFault(
            file, f"has several graphs, in {keys}: write one into a file of its own"
        )
    if isinstance(raw.get("nodes"), list) or _has_editor_graph(raw):
        raise WorkflowFault(
            file, f"this is the editor's own format (lists of nodes and links); {_EXPORT}"
        )
    return raw


def _graphs_in(raw: Any, *, depth: int, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(raw, dict):
        return
    if any(map(_is_node, raw.values())):
        yield key, raw
    elif depth < _MOST_WRAPPERS:
        for name, value in raw.items():
            yield from _graphs_in(value, depth=depth + 1, key=f"{key}.{name}" if key else name)


def _has_editor_graph(raw: dict[str, Any]) -> bool:
    return any(
        isinstance(value, dict) and isinstance(value.get("nodes"), list) for value in raw.values()
    )


def _is_node(raw: Any) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("class_type"), str)


def _is_meant_as_node(node_id: str, raw: Any) -> bool:
    """Whether a value must be a node; notes such as `_meta` beside the nodes are left out."""
    return node_id.isdigit() or (
        isinstance(raw, dict) and bool({"inputs", "class_type"} & set(raw))
    )


def _node(file: Path, node_id: str, raw: Any, graph: Mapping[str, Any]) -> Node:
    class_type = raw.get("class_type") if isinstance(raw, dict) else None
    if not isinstance(class_type, str) or not class_type:
        raise WorkflowFault(file, "has no class_type", node=node_id)
    inputs = raw.get("inputs", {})
    if not isinstance(inputs, dict):
        raise WorkflowFault(file, "inputs is not an object", node=node_id)
    meta = raw.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    node = Node(id=node_id, class_type=class_type, title=str(title or ""), inputs={})
    values = {}
    for name, value in inputs.items():
        try:
            values[name] = input_value(value, graph)
        except ValueError as error:
            raise WorkflowFault(file, str(error), node=str(node), input_name=name) from error
    return node.with_inputs(MappingProxyType(values))
