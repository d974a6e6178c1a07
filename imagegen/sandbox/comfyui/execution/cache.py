"""The cache of node outputs, so that an unchanged node need not run again."""

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.comfyui.execution.node_order import Graph, is_link

# These node classes count as changed each time, so they always run.
_ALWAYS_CHANGED = frozenset({"SaveImageWebsocket"})


@dataclass(frozen=True, kw_only=True)
class NodeOutput:
    """What a node returned: `values` for other nodes, `ui` for the client (None if it has none).

    `node` is the id under which it ran: a cached output may be used under another id.
    """

    values: tuple[Any, ...]
    ui: dict[str, Any] | None = None
    node: str = ""


class NodeCache:
    """Node outputs by class, inputs and ancestors; node ids do not matter.

    With `max_nodes` the cache holds that many nodes, those used last (ComfyUI's --cache-lru);
    with 0 it holds the nodes of the last prompt.
    """

    def __init__(self, *, max_nodes: int = 0) -> None:
        self._max_nodes = max_nodes
        self._outputs: dict[Hashable, NodeOutput] = {}
        self._keys: dict[str, Hashable] = {}

    def set_graph(self, graph: Graph) -> None:
        """Compute the cache keys of a graph; `get` and `store` then take its node ids."""
        self._keys = {}
        for node in graph:
            self._keys[node] = self._key_of(graph, node)

    def get(self, node: str) -> NodeOutput | None:
        return self._outputs.get(self._keys[node])

    def store(self, node: str, output: NodeOutput) -> None:
        self._outputs[self._keys[node]] = output

    def evict(self) -> None:
        """Drop the nodes that the current graph does not have, or those used longest ago."""
        wanted = set(self._keys.values())
        if self._max_nodes:
            for key in [key for key in self._outputs if key in wanted]:
                self._outputs[key] = self._outputs.pop(key)
            wanted = set(list(self._outputs)[-self._max_nodes :])
        self._outputs = {key: output for key, output in self._outputs.items() if key in wanted}

    def clear(self) -> None:
        self._outputs.clear()

    def _key_of(self, graph: Graph, node: str) -> Hashable:
        if node in self._keys:
            return self._keys[node]
        class_type = graph[node]["class_type"]
        if class_type in _ALWAYS_CHANGED:
            return object()
        # A placeholder: without it, nodes in a cycle (which never run) would recurse for ever.
        self._keys[node] = node
        inputs = graph[node].get("inputs", {})
        parts = tuple(
            (name, self._input_key(graph, value)) for name, value in sorted(inputs.items())
        )
        self._keys[node] = (class_type, parts)
        return self._keys[node]

    def _input_key(self, graph: Graph, value: object) -> Hashable:
        if is_link(value) and isinstance(value, list) and value[0] in graph:
            return (value[1], self._key_of(graph, value[0]))
        return json.dumps(value, sort_keys=True)
