"""A ComfyUI refusal → one readable sentence; pure.

The forms were taken from recordings of servers 0.3.64 and 0.33, and from ComfyUI's source.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imagegen.comfy.errors import HostLacks, PromptRefused
from imagegen.comfy.fault import Fault, fault
from imagegen.comfy.quote import quote
from imagegen.comfy.title import class_of, title

# New servers use the first for a node without a class, too; old ones the second for both.
_NO_NODE = {"missing_node_type", "invalid_prompt"}
_TOLD = 5
_SHOWN = 160


def read(host: str, graph: Mapping[str, Any], body: Any) -> HostLacks | PromptRefused:
    """Return the error for a graph that a host refused, wholly (400) or in part (200).

    HostLacks if nothing is wrong but that this host has not some files or a node. The sentence
    names node, input, what it got and may be, without the graph's texts and paths of the host.
    """
    answer = _object(body)
    faults = list(_faults(graph, _object(answer.get("node_errors"))))
    if not faults:
        faults = [_whole(graph, answer.get("error"))]
    sentence = f"{host} refuses the graph: {_joined(faults)}"
    lacks = {each.lacks for each in faults}
    if lacks <= {"model_missing", "node_missing"}:
        return HostLacks(
            sentence, code="node_missing" if "node_missing" in lacks else "model_missing"
        )
    return PromptRefused(sentence)


def _object(value: Any) -> Mapping[str, Any]:
    # What stands between us and the host may refuse in a form of its own.
    return value if isinstance(value, Mapping) else {}


def _faults(graph: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Iterator[Fault]:
    for node, entry in node_errors.items():
        errors = _object(entry).get("errors")
        for error in errors if isinstance(errors, list) else ():
            yield fault(graph, str(node), _object(error), str(_object(entry).get("class_type", "")))


def _whole(graph: Mapping[str, Any], error: Any) -> Fault:
    told = _object(error)
    if str(told.get("type")) in _NO_NODE and (node := _node(told)) is not None:
        kind = class_of(graph, node)
        if kind:
            return Fault(f"{title(graph, node)}: this host has no node {kind[:60]}", "node_missing")
    reason = _reason(told) if told else error if isinstance(error, str) else ""
    return Fault(quote(reason, graph, at_most=_SHOWN) or "it does not say why")


def _node(error: Mapping[str, Any]) -> str | None:
    # Old servers say it in words only: Node ID '#1'.
    named = re.search(r"#(.+?)'", str(error.get("details")))
    node = _object(error.get("extra_info")).get("node_id")
    return str(node) if node is not None else named[1] if named else None


def _reason(error: Mapping[str, Any]) -> str:
    message, details = (str(error.get(key) or "") for key in ("message", "details"))
    message = message or str(error.get("type") or "")
    return f"{message} ({details})" if details and details != message else message


def _joined(faults: list[Fault]) -> str:
    told = "; ".join(dict.fromkeys(each.sentence for each in faults[:_TOLD]))
    more = len(faults) - _TOLD
    return f"{told}; and {more} more" if more > 0 else told
