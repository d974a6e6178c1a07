"""A ComfyUI refusal (400 body) → one readable sentence; pure."""

from collections.abc import Mapping
from typing import Any

from imagegen.comfy.errors import PromptRefused

_MISSING_NODE = {"missing_node_type", "invalid_prompt"}
_LISTED = 5


def read(host: str, graph: Mapping[str, Any], body: Mapping[str, Any]) -> PromptRefused:
    """Return the error for a refused graph, naming node title, input, what it got and may be."""
    error = body.get("error") or {}
    faults = list(_faults(graph, body.get("node_errors") or {}))
    if faults:
        code = "model_missing" if any(fault.endswith(_NO_FILE) for fault in faults) else None
        return PromptRefused(f"{host} refuses the graph: {'; '.join(faults)}", code=code)
    kind = str(error.get("type", "unknown"))
    code = "node_missing" if kind in _MISSING_NODE and "node_id" in str(error) else None
    return PromptRefused(f"{host} refuses the graph: {error.get('message', kind)}", code=code)


_NO_FILE = "which this host does not have"


def _faults(graph: Mapping[str, Any], node_errors: Mapping[str, Any]) -> list[str]:
    return [
        f"{_title(graph, node)}: {_fault(fault)}"
        for node, entry in node_errors.items()
        for fault in entry.get("errors", ())
    ]


def _title(graph: Mapping[str, Any], node: str) -> str:
    entry = graph.get(node, {})
    return str(entry.get("_meta", {}).get("title") or entry.get("class_type") or node)


def _fault(fault: Mapping[str, Any]) -> str:
    extra = fault.get("extra_info") or {}
    name, got = extra.get("input_name"), extra.get("received_value")
    if name is None:
        return str(fault.get("message", fault.get("type")))
    if fault.get("type") == "value_not_in_list":
        return _not_in_list(name, got, extra.get("input_config"))
    if "received_value" not in extra:
        return f"{name}: {str(fault.get('message', '')).lower()}"
    return f"{name} = {got!r}: {str(fault.get('message', '')).lower()}"


def _not_in_list(name: str, got: Any, config: Any) -> str:
    if str(got).endswith((".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".sft")):
        return f"{name} names {got}, {_NO_FILE}"
    allowed = config[0] if isinstance(config, list) and isinstance(config[0], list) else []
    listed = ", ".join(map(str, allowed[:_LISTED])) + (", …" if len(allowed) > _LISTED else "")
    return f"{name} = {got!r}, may be {listed or 'nothing'}"
