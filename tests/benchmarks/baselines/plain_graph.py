"""The graph that the baselines post: a shipped workflow with another seed and text."""

import copy
import json
from typing import Any

from imagegen import resources

_TEXT_NODES = {"CLIPTextEncode"}


def prompt_body(number: int, prompt_id: str, client_id: str) -> dict[str, Any]:
    """Return the body of POST /prompt for picture `number`."""
    return {
        "prompt": _graph(number),
        "prompt_id": prompt_id,
        "client_id": client_id,
        # So that the host's ledger knows drawings of one picture from each other.
        "extra_data": {"chatflow_request": str(number)},
    }


def _graph(number: int) -> dict[str, Any]:
    graph: dict[str, Any] = copy.deepcopy(_LINA)
    for node in graph.values():
        if "seed" in node["inputs"]:
            node["inputs"]["seed"] = number
        if node["class_type"] in _TEXT_NODES:
            node["inputs"]["text"] = f"a quiet portrait by a window, number {number}"
    return graph


_LINA = json.loads((resources.path("workflows") / "lina" / "workflow.json").read_text())
