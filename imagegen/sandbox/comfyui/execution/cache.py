"""What a host remembers of the nodes it ran, so that the same node need not run again."""

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.comfyui.execution.node_order import Graph, is_link

# Such a node counts as changed each time, so it always runs.
_NEVER_THE_SAME = frozenset({"SaveImageWebsocket"})


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

    def __init__(self, *, keeps: int = 0) -> None:
        self._keeps = keeps
        self._ran: dict[Hashable, NodeOutput] = {}
        self._keys: dict[str, Hashable] = {}

    def open(self, graph: Graph) -> None:
        """Take up a graph: from now on nodes are asked for by its ids."""
        self._keys = {}
        for node in graph:
            self._keys[node] = self._key_of(graph, node)

    def get(self, node: str) -> NodeOutput | None:
        return self._ran.get(self._keys[node])

    def keep(self, node: str, ran: NodeOutput) -> None:
        self._ran[self._keys[node]] = ran

    def forget_the_rest(self) -> None:
        """Drop what the open graph has no node for, or what was used longest ago."""
        wanted = set(self._keys.values())
        if self._keeps:
            for key in [key for key in self._ran if key in wanted]:
                self._ran[key] = self._ran.pop(key)
            wanted = set(list(self._ran)[-self._keeps :])
        self._ran = {key: ran for key, ran in self._ran.items() if key in wanted}

    def clear(self) -> None:
        self._ran.clear()

    def _key_of(self, graph: Graph, node: str) -> Hashable:
        if node in self._keys:
            return self._keys[node]
        class_type = graph[node]["class_type"]
        if class_type in _NEVER_THE_SAME:
            return object()
        # Holds the place, or nodes in a circle (which never run) would be followed for ever.
        self._keys[node] = node
        inputs = graph[node].get("inputs", {})
        parts = tuple(
            (name, self._source_of(graph, value)) for name, value in sorted(inputs.items())
        )
        self._keys[node] = (class_type, parts)
        return self._keys[node]

    def _source_of(self, graph: Graph, value: object) -> Hashable:
        if is_link(value) and isinstance(value, list) and value[0] in graph:
            return (value[1], self._key_of(graph, value[0]))
        return json.dumps(value, sort_keys=True)
