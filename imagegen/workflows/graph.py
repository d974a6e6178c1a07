"""A ComfyUI graph in API format; immutable."""

import copy
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagegen.workflows.errors import WorkflowFault

# As the editor writes them, with those of the subgraphs around the node before it.
_NODE_ID = re.compile(r"\d+(?::\d+)*")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link from output number `slot` of the node with the id `node`."""

    node: str
    slot: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a graph; a value of `inputs` is a Link or a literal of JSON."""

    id: str
    class_type: str
    title: str
    inputs: Mapping[str, Any]

    def __str__(self) -> str:
        named = f' "{self.title}"' if self.title and self.title != self.class_type else ""
        return f"{self.id}{named} ({self.class_type})"

    @property
    def links(self) -> dict[str, Link]:
        """The links into this node, by input."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}

    def link(self, *names: str) -> Link | None:
        """Return the link of the first of the named inputs that has one, else None."""
        return next((self.links[name] for name in names if name in self.links), None)

    def with_inputs(self, inputs: Mapping[str, Any]) -> "Node":
        """Return the node with other values of these inputs."""
        return replace(self, inputs=MappingProxyType({**self.inputs, **inputs}))

    def posted(self) -> dict[str, Any]:
        """Return the node in API format, as a deep copy."""
        inputs = {
            name: [value.node, value.slot] if isinstance(value, Link) else copy.deepcopy(value)
            for name, value in self.inputs.items()
        }
        return {"class_type": self.class_type, "inputs": inputs, "_meta": {"title": self.title}}


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes by id, each after all nodes upstream of it.

    Every link leads to a node of the graph, and there are no cycles.
    """

    file: Path
    nodes: Mapping[str, Node]

    def upstream(self, ids: Iterable[str]) -> frozenset[str]:
        """Return the ids of these nodes and of all nodes upstream of them."""
        seen: set[str] = set()
        unvisited = list(ids)
        while unvisited:
            node_id = unvisited.pop()
            if node_id not in seen:
                seen.add(node_id)
                unvisited.extend(link.node for link in self.nodes[node_id].links.values())
        return frozenset(seen)

    def only(self, ids: frozenset[str]) -> "Graph":
        """Return a graph of these nodes only."""
        kept = {node_id: node for node_id, node in self.nodes.items() if node_id in ids}
        return replace(self, nodes=MappingProxyType(kept))

    def named(self, name: str, *, file: Path, key: str) -> Node:
        """Return the node with this id or, if there is none, with this title.

        `file` and `key` say where the name was given, for the sentence of the error.

        Raises:
            WorkflowFault: no node has this id or title, or several have this title.
        """
        if name in self.nodes:
            return self.nodes[name]
        titled = [node for node in self.nodes.values() if node.title == name]
        if len(titled) == 1:
            return titled[0]
        if titled:
            same = ", ".join(sorted(map(str, titled)))
            raise WorkflowFault(file, f"{key} = {name!r}: several nodes have this title: {same}")
        raise WorkflowFault(
            file, f"{key} = {name!r}: no node of {self.file.name} has this id or title"
        )

    def with_inputs(self, inputs: Mapping[str, Mapping[str, Any]], *, file: Path) -> "Graph":
        """Return a graph with other inputs, given by node id or title and by input name.

        `file` is where they were given, for the sentence of the error.

        Raises:
            WorkflowFault: there is no such node or input, or the value is of another type.
        """
        nodes = dict(self.nodes)
        for name, values in inputs.items():
            node = self.named(name, file=file, key="inputs")
            nodes[node.id] = nodes[node.id].with_inputs(
                {key: _override(node, key, value, file, nodes) for key, value in values.items()}
            )
        return checked_graph(self.file, nodes)

    def with_values(self, inputs: Mapping[str, Mapping[str, Any]]) -> "Graph":
        """Return a graph with other literals in these inputs, by node id and by input name."""
        nodes = {
            node_id: node.with_inputs(inputs[node_id]) if node_id in inputs else node
            for node_id, node in self.nodes.items()
        }
        return replace(self, nodes=MappingProxyType(nodes))

    def fault(
        self, why: str, *, node: Node | None = None, input_name: str | None = None
    ) -> WorkflowFault:
        """Return the error that says what is wrong with this file; the caller raises it."""
        named = None if node is None else str(node)
        return WorkflowFault(self.file, why, node=named, input_name=input_name)


def graph_digest(nodes: Mapping[str, Node], output: Link) -> str:
    """Return a hash of all that leads to an output; ids, titles and order do not count.

    `nodes` must be in the order of a Graph: each node after all nodes upstream of it.
    """
    digests: dict[str, str] = {}
    for node in nodes.values():
        inputs = {
            name: {"from": digests[value.node], "slot": value.slot}
            if isinstance(value, Link)
            else {"value": value}
            for name, value in node.inputs.items()
        }
        content = json.dumps([node.class_type, inputs], sort_keys=True)
        digests[node.id] = hashlib.sha256(content.encode()).hexdigest()
    return hashlib.sha256(f"{digests[output.node]}/{output.slot}".encode()).hexdigest()


def input_value(raw: Any, node_ids: Collection[str]) -> Any:
    """Return the value of an input as it stands in a file: a Link, or the literal.

    A list that names no node of the graph is a literal: custom nodes keep lists in inputs that the
    server does not look at.

    Raises:
        ValueError: it names a node and is no link, which the server would refuse.
    """
    match raw:
        case [str() | int() as source, int(slot)] if (
            str(source) in node_ids
            and not isinstance(source, bool)
            and not isinstance(slot, bool)
            and slot >= 0
        ):
            return Link(node=str(source), slot=slot)
        case [str(source), int(slot)] if _NODE_ID.fullmatch(source) and not isinstance(slot, bool):
            raise ValueError(f"links to node {source}, which is missing")
        case [str(source), *_] if source in node_ids:
            raise ValueError("a link must be [node id, output number]")
        case _:
            return raw


def checked_graph(file: Path, nodes: Mapping[str, Node]) -> Graph:
    """Return the graph of these nodes, in their order.

    Raises:
        WorkflowFault: a link leads to no node, or the links run in a circle.
    """
    for node in nodes.values():
        for name, link in node.links.items():
            if link.node not in nodes:
                raise WorkflowFault(
                    file,
                    f"links to node {link.node}, which is missing",
                    node=str(node),
                    input_name=name,
                )
    upstream = {node.id: [link.node for link in node.links.values()] for node in nodes.values()}
    try:
        order = tuple(TopologicalSorter(upstream).static_order())
    except CycleError as error:
        cycle = " → ".join(error.args[1])
        raise WorkflowFault(file, f"the links run in a circle: {cycle}") from error
    return Graph(file=file, nodes=MappingProxyType({node_id: nodes[node_id] for node_id in order}))


def _override(node: Node, name: str, raw: Any, file: Path, node_ids: Collection[str]) -> Any:
    if name not in node.inputs:
        input_names = ", ".join(sorted(node.inputs)) or "none"
        raise WorkflowFault(
            file,
            f"there is no such input; the node has: {input_names}",
            node=str(node),
            input_name=name,
        )
    try:
        old, new = node.inputs[name], input_value(raw, node_ids)
    except ValueError as error:
        raise WorkflowFault(file, str(error), node=str(node), input_name=name) from error
    if not _may_replace(old, new):
        raise WorkflowFault(
            file, f"is {old!r} in the graph and cannot be {new!r}", node=str(node), input_name=name
        )
    return new


def _may_replace(old: Any, new: Any) -> bool:
    if isinstance(old, Link) or isinstance(new, Link) or old is None:
        return True
    if isinstance(old, float):
        return isinstance(new, int | float) and not isinstance(new, bool)
    if isinstance(old, int) and not isinstance(old, bool):
        # An export writes the number 1.0 as 1, so an integer may be replaced by a fraction.
        return isinstance(new, int | float) and not isinstance(new, bool)
    return type(old) is type(new)
