"""What a host remembers of the nodes it ran, so that the same node need not run again."""

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.comfyui.execution.node_order import Graph, is_link

# Such a node counts as changed each time, so it always runs.
_ALWAYS_CHANGED = frozenset({"SaveImageWebsocket"})


@dataclass(frozen=True, kw_only=True)
class NodeOutput:
    """What a node left behind: values for other nodes, and what a client is told of it."""

    values: tuple[Any, ...]
    ui: dict[str, Any] | None = None
    node: str = ""


class NodeCache:
    """The remembered nodes, by class, inputs and ancestry; node ids do not matter.

    With `keeps` so many are remembered, those used last; else what the last prompt had nodes for.
    """

    def __init__(self, *, max_nodes: int = 0) -> None:
        self._max_nodes = max_nodes
        self._outputs: dict[Hashable, NodeOutput] = {}
        self._keys: dict[str, Hashable] = {}

    def set_graph(self, graph: Graph) -> None:
        """Take up a graph: from now on nodes are asked for by its ids."""
        self._keys = {}
        for node in graph:
            self._keys[node] = self._key_of(graph, node)

    def get(self, node: str) -> NodeOutput | None:
        return self._outputs.get(self._keys[node])

    def store(self, node: str, output: NodeOutput) -> None:
        self._outputs[self._keys[node]] = output

    def evict(self) -> None:
        """Drop what the open graph has no node for, or what was used longest ago."""
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
        # Holds the place, or nodes in a circle (which never run) would be followed for ever.
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
