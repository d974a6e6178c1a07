"""The order in which the nodes of a graph run, copied from what real servers were recorded to do."""

from collections.abc import Callable, Iterable
from typing import Any

Graph = dict[str, Any]


def is_link(value: object) -> bool:
    """Tell whether a value is a link, [node id, output slot]."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


class ExecutionPlan:
    """The nodes that still have to run, and which one is next.

    Among the nodes that wait for no other, the first of these is taken: an output node; a node
    whose output goes to an output node; a node two steps before an output node; the node found
    first. Nodes are found by walking from each output upwards, the last input first.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Iterable[str],
        *,
        is_output: Callable[[str], bool],
        is_cached: Callable[[str], bool],
    ) -> None:
        self._graph = graph
        self._is_output = is_output
        self._is_cached = is_cached
        self._waits_for: dict[str, set[str]] = {}
        self._feeds: dict[str, list[str]] = {}
        for output in outputs:
            self._add(output)

    def __bool__(self) -> bool:
        return bool(self._waits_for)

    def next(self) -> str:
        """Return the node to run now."""
        ready = [node for node, blockers in self._waits_for.items() if not blockers]
        for leads_to_output in (self._is_output, self._feeds_output, self._feeds_output_soon):
            for node in ready:
                if leads_to_output(node):
                    return node
        return ready[0]

    def done(self, node: str) -> None:
        """Remove a node that has run; nodes that waited for it may become ready."""
        del self._waits_for[node]
        for fed in self._feeds.pop(node):
            self._waits_for[fed].discard(node)

    def _add(self, output: str) -> None:
        links: list[tuple[str, str]] = []
        to_visit = [output]
        while to_visit:
            node = to_visit.pop()
            if node in self._waits_for:
                continue
            self._waits_for[node] = set()
            self._feeds[node] = []
            sources = [value[0] for value in self._graph[node]["inputs"].values() if is_link(value)]
            to_run = [source for source in sources if not self._is_cached(source)]
            to_visit += to_run
            links += [(source, node) for source in to_run]
        for source, node in links:
            if node not in self._feeds[source]:
                self._feeds[source].append(node)
            self._waits_for[node].add(source)

    def _feeds_output(self, node: str) -> bool:
        return any(self._is_output(fed) for fed in self._feeds[node])

    def _feeds_output_soon(self, node: str) -> bool:
        return any(self._feeds_output(fed) for fed in self._feeds[node])
