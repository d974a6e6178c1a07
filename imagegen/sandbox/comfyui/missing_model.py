"""A host that has a model file and says it has not: its refusal, in the words of a real one."""

import copy
from typing import Any

from imagegen.sandbox.comfyui.definitions import LISTS_OF_MODELS, Definitions
from imagegen.sandbox.comfyui.machine import Machine
from imagegen.sandbox.comfyui.order import Graph
from imagegen.sandbox.comfyui.validation import judge


def refusal(graph: object, file: str | None, machine: Machine) -> dict[str, Any] | None:
    """Give the body of a 400 for a graph that names the file, any if none is given; else None."""
    if not isinstance(graph, dict):
        return None
    named = [each for each in _named(graph) if file in {None, each}]
    if not named:
        return None
    without = {
        folder: [f for f in files if f != named[0]] for folder, files in machine.models.items()
    }
    # A copy, since numbers that were given as text would become numbers in it.
    definitions = Definitions(machine.version.name, without)
    verdict = judge(copy.deepcopy(graph), definitions, machine.version, machine.files)
    return None if verdict.error is None else _body(verdict.error, verdict.node_errors)


def _body(error: dict[str, Any], node_errors: dict[str, Any]) -> dict[str, Any]:
    return {"error": error, "node_errors": node_errors}


def _named(graph: Graph) -> list[str]:
    found = []
    for node in graph.values():
        for class_type, name in LISTS_OF_MODELS:
            if isinstance(node, dict) and node.get("class_type") == class_type:
                found.append(node.get("inputs", {}).get(name))
    return [file for file in found if isinstance(file, str)]
