"""A ComfyUI refusal (400 body) → one readable sentence; pure."""

from collections.abc import Mapping
from typing import Any

from imagegen.comfy.errors import HostLacks, PromptRefused

# The first from new servers, the second from old ones, which use it for nothing else.
_MISSING_NODE = {"missing_node_type", "invalid_prompt"}
_MODEL_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".sft")
_NO_FILE = "which this host does not have"
_LISTED = 5
# Longer than any name; a prompt's text must not travel into logs.
_SHOWN = 80


def read(host: str, graph: Mapping[str, Any], body: Mapping[str, Any]) -> HostLacks | PromptRefused:
    """Return the error for a refused graph, naming node title, input, what it got and may be.

    HostLacks if the host would take it, had it the files or the node class that are named.
    """
    faults = _faults(graph, _object(body.get("node_errors")))
    if faults:
        sentence = f"{host} refuses the graph: {'; '.join(faults)}"
        if all(fault.endswith(_NO_FILE) for fault in faults):
            return HostLacks(sentence, code="model_missing")
        return PromptRefused(sentence)
    error = _object(body.get("error"))
    sentence = f"{host} refuses the graph: {_reason(error)}"
    if error.get("type") in _MISSING_NODE:
        return HostLacks(sentence, code="node_missing")
    return PromptRefused(sentence)


def _object(value: Any) -> Mapping[str, Any]:
    # What stands between us and the host may refuse in a form of its own.
    return value if isinstance(value, Mapping) else {}


def _reason(error: Mapping[str, Any]) -> str:
    message = str(error.get("message") or error.get("type") or "it does not say why")
    details = error.get("details")
    return f"{message} ({details})" if details and details != message else message


def _faults(graph: Mapping[str, Any], node_errors: Mapping[str, Any]) -> list[str]:
    return [
        f"{_title(graph, node)}: {_fault(_object(fault))}"
        for node, entry in node_errors.items()
        for fault in _object(entry).get("errors") or ()
    ]


def _title(graph: Mapping[str, Any], node: str) -> str:
    entry = graph.get(node, {})
    return str(entry.get("_meta", {}).get("title") or entry.get("class_type") or node)


def _fault(fault: Mapping[str, Any]) -> str:
    extra = _object(fault.get("extra_info"))
    name, got = extra.get("input_name"), extra.get("received_value")
    if name is None:
        return _reason(fault)
    if fault.get("type") == "value_not_in_list":
        return _not_in_list(name, got, extra.get("input_config"))
    message, details = str(fault.get("message", "")).lower(), fault.get("details")
    if "received_value" in extra:
        return f"{name} = {_shown(got)}: {message}"
    return (
        f"{name}: {message} ({details})"
        if details not in (None, "", name)
        else f"{name}: {message}"
    )


def _not_in_list(name: str, got: Any, config: Any) -> str:
    if str(got).endswith(_MODEL_FILES):
        return f"{name} names {got}, {_NO_FILE}"
    # Long lists, such as that of the samplers, are left out of the answer.
    if not (isinstance(config, list) and config and isinstance(config[0], list)):
        return f"{name} = {_shown(got)} is not in the host's list"
    allowed = ", ".join(map(str, config[0][:_LISTED])) + (", …" if len(config[0]) > _LISTED else "")
    return f"{name} = {_shown(got)}, may be {allowed or 'nothing'}"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"a value of {len(shown)} characters"
