"""Nodes that persona.toml names, and the faults that say how to choose one; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Node
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.persona import Place


@dataclass(frozen=True, kw_only=True)
class RoleLookup:
    """Looks up nodes for `[nodes]` of `toml`.

    What a node or an input is looked up for is `key`, a key of `[nodes]`. The methods with `fault`
    in their names return the error that the caller raises.
    """

    graph: Graph
    toml: Path

    def named(self, named: Place, key: str) -> Node:
        """Return the node that persona.toml names.

        Raises:
            WorkflowFault: no node has this id or title, or several have this title.
        """
        name = named if isinstance(named, str) else named.node
        return self.graph.named(name, file=self.toml, key=f"nodes.{key}")

    def on_path(self, path: frozenset[str], named: Place, key: str) -> Node:
        """Return the node that persona.toml names, which must be in `path`.

        Raises:
            WorkflowFault: there is no such node, or it does not lead to the save node.
        """
        node = self.named(named, key)
        if node.id not in path:
            raise WorkflowFault(
                self.toml, f"nodes.{key}: does not lead to the save node", node=str(node)
            )
        return node

    def one_node(self, found: Sequence[Node], what: str, key: str) -> Node:
        """Return the only node that was found.

        Raises:
            WorkflowFault: there are several; the sentence lists them.
        """
        if len(found) == 1:
            return found[0]
        raise self.graph.fault(
            f"more than one node could be the {what}: {listed(found)};"
            f' choose with {key} = "{found[0].id}" or another one under [nodes] in'
            f" {self.toml.name}"
        )

    def fault_of_several(self, found: Iterable[NodeInput], key: str) -> WorkflowFault:
        """Return the error that several places could be it."""
        places = sorted(found)
        named = ", ".join(f"{self.graph.nodes[each.node]} input {each.input}" for each in places)
        one = f'{{ node = "{places[0].node}", input = "{places[0].input}" }}'
        return self.graph.fault(
            f"more than one place could be the {key}: {named};"
            f" choose with {key} = {one} or another one, or a list of them, under [nodes] in"
            f" {self.toml.name}"
        )

    def fault_of_input(self, node: Node, named: Place, key: str) -> WorkflowFault:
        """Return the error that a node has no input that could be it."""
        return WorkflowFault(
            self.toml,
            f"nodes.{key}: the node's inputs are: {', '.join(sorted(node.inputs)) or 'none'}",
            node=str(node),
            input_name=None if isinstance(named, str) else named.input,
        )

    def fault_at(self, node_input: NodeInput, why: str) -> WorkflowFault:
        """Return the error of one input of the graph."""
        node = self.graph.nodes[node_input.node]
        return self.graph.fault(why, node=node, input_name=node_input.input)


def listed(nodes: Iterable[Node]) -> str:
    """Return the names of nodes for a sentence."""
    return ", ".join(sorted(map(str, nodes)))
