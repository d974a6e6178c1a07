"""Following the links of a graph upstream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagegen.graphs import Graph, Link, Node
from imagegen.shapes import live_links

# What primitive nodes call the value that they carry, likeliest first.
CARRIED = ("value", "text", "string", "prompt", "int", "number")


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """One input of one node."""

    node: str
    input: str


def seek(
    graph: Graph, start: Link, found: Callable[[Node], bool], onward: Callable[[Node], list[Link]]
) -> list[Node]:
    """Follow links upstream and give the nearest wanted node on each way."""
    hits: dict[str, Node] = {}
    todo, seen = [start.node], set[str]()
    while todo:
        node = graph.nodes[todo.pop()]
        if node.id in seen:
            continue
        seen.add(node.id)
        if found(node):
            hits[node.id] = node
        else:
            todo.extend(link.node for link in onward(node))
    return list(hits.values())


def carried(graph: Graph, place: Place, kind: type) -> set[Place]:
    """Find where the value of an input stands, through primitive nodes and switches."""
    value = graph.nodes[place.node].inputs.get(place.input)
    if is_a(value, kind):
        return {place}
    if not isinstance(value, Link):
        return set()
    source = graph.nodes[value.node]
    return {
        found
        for name in _likely(source, place.input, kind)
        for found in carried(graph, Place(node=source.id, input=name), kind)
    }


def is_a(value: Any, kind: type) -> bool:
    """Tell whether a value is of a kind; true and false are no numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _likely(node: Node, wanted: str, kind: type) -> list[str]:
    for name in (wanted, *CARRIED):
        value = node.inputs.get(name)
        if isinstance(value, Link) or is_a(value, kind):
            return [name]
    return list(live_links(node)) or [
        name for name, value in node.inputs.items() if is_a(value, kind)
    ]
