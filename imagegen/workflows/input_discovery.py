"""Where in a graph seed, text, size and picture are, found by following links."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import (
    NodeInput,
    carriers,
    has_size,
    image_link,
    is_a,
    is_sampler,
    latent_links,
    nearest_upstream,
    prompt_links,
    save_rank,
    seed_inputs,
    text_inputs,
)
from imagegen.workflows.persona import Nodes, Spot


@dataclass(frozen=True, kw_only=True)
class WorkflowInputs:
    """What binding sets: `image` is the link that feeds the save node."""

    save: str
    image: Link
    text: NodeInput
    seeds: frozenset[NodeInput]
    width: NodeInput
    height: NodeInput


def find_inputs(graph: Graph, nodes: Nodes, *, toml: Path) -> WorkflowInputs:
    """Find every place, preferring the nodes that persona.toml names."""
    return _Search(graph=graph, nodes=nodes, toml=toml).places()


@dataclass(frozen=True, kw_only=True)
class _Search:
    graph: Graph
    nodes: Nodes
    toml: Path

    def places(self) -> WorkflowInputs:
        save = self._save()
        image = image_link(save)
        if image is None:
            raise self.graph.fault("no picture is linked into it", node=save, input_name="images")
        path = self.graph.upstream([image.node])
        width, height = self._size(path)
        return WorkflowInputs(
            save=save.id,
            image=image,
            text=self._text(path),
            seeds=self._seeds(path),
            width=width,
            height=height,
        )

    def _save(self) -> Node:
        if self.nodes.save is not None:
            return self._named(self.nodes.save, "save")
        fed = {link.node for node in self.graph.nodes.values() for link in node.links.values()}
        ends = [
            n for n in self.graph.nodes.values() if n.id not in fed and image_link(n) is not None
        ]
        if not ends:
            raise self.graph.fault("there is no save node: a SaveImage fed by the picture")
        drawn = self._drawn_by()
        hanging = [node for node in ends if self.graph.upstream([node.id]) & drawn]
        if not hanging:
            raise self.graph.fault(f"no sampler leads to a save node ({_listed(ends)})")
        best = min(map(save_rank, hanging))
        return self._one([n for n in hanging if save_rank(n) == best], "save node", "save")

    def _drawn_by(self) -> frozenset[str]:
        if self.nodes.sampler is not None:
            return frozenset({self._named(self.nodes.sampler, "sampler").id})
        samplers = frozenset(node.id for node in self.graph.nodes.values() if is_sampler(node))
        if not samplers:
            raise self.graph.fault(
                "there is no sampler: a node with links into latent_image and positive or guider"
            )
        return samplers

    def _sampler(self, path: frozenset[str]) -> Node:
        """Find the sampler that begins the picture: no other one feeds it."""
        if self.nodes.sampler is not None:
            return self._on(path, self._named(self.nodes.sampler, "sampler"), "sampler")
        samplers = {node_id for node_id in path if is_sampler(self.graph.nodes[node_id])}
        if not samplers:
            raise self.graph.fault("no sampler leads to the save node")
        first = [n for n in samplers if not (self.graph.upstream([n]) - {n}) & samplers]
        return self._one([self.graph.nodes[n] for n in first], "sampler", "sampler")

    def _text(self, path: frozenset[str]) -> NodeInput:
        if self.nodes.text is not None:
            return self._spot(path, self.nodes.text, "text", text_inputs, str)
        sampler = self._sampler(path)
        start = sampler.link("positive", "guider")
        if start is None:
            raise self.graph.fault("no text is linked into it", node=sampler, input_name="positive")
        found = nearest_upstream(
            self.graph, start, lambda node: bool(text_inputs(node)), prompt_links
        )
        if not found:
            raise self.graph.fault("leads to no text", node=sampler, input_name="positive")
        return self._one_place({p for node in found for p in self._carriers(node, str)}, "text")

    def _carriers(self, node: Node, kind: type) -> set[NodeInput]:
        direct = NodeInput(node=node.id, input=text_inputs(node)[0])
        return carriers(self.graph, direct, kind) or {direct}

    def _seeds(self, path: frozenset[str]) -> frozenset[NodeInput]:
        if self.nodes.seed is not None:
            return frozenset({self._spot(path, self.nodes.seed, "seed", seed_inputs, int)})
        seeds = [
            NodeInput(node=node_id, input=name)
            for node_id in path
            for name in seed_inputs(self.graph.nodes[node_id])
        ]
        if not seeds:
            raise self.graph.fault("no node on the way to the save node has a seed or noise_seed")
        return frozenset(self._seed(place) for place in seeds)

    def _seed(self, place: NodeInput) -> NodeInput:
        value = self.graph.nodes[place.node].inputs[place.input]
        if not isinstance(value, Link) and not is_a(value, int):
            raise self._fault_at(place, f"a seed must be a whole number, not {value!r}")
        # A seed from a node without a number of its own (a dice node) is replaced by ours.
        return self._one_place(carriers(self.graph, place, int) or {place}, "seed")

    def _size(self, path: frozenset[str]) -> tuple[NodeInput, NodeInput]:
        node = self._size_node(path)
        return self._side(node, "width"), self._side(node, "height")

    def _size_node(self, path: frozenset[str]) -> Node:
        if self.nodes.size is not None:
            return self._on(path, self._named(self.nodes.size, "size"), "size")
        sampler = self._sampler(path)
        start = sampler.link("latent_image")
        if start is None:
            raise self.graph.fault(
                "no size is linked into it", node=sampler, input_name="latent_image"
            )
        found = nearest_upstream(self.graph, start, has_size, latent_links)
        if not found:
            raise self.graph.fault(
                "leads to no node with a width and a height",
                node=sampler,
                input_name="latent_image",
            )
        return self._one(found, "size", "size")

    def _side(self, node: Node, side: str) -> NodeInput:
        place = NodeInput(node=node.id, input=side)
        found = carriers(self.graph, place, int)
        if len(found) == 1:
            return next(iter(found))
        value = node.inputs.get(side)
        seen = (
            f"leads to {len(found) or 'no'} numbers" if isinstance(value, Link) else f"is {value!r}"
        )
        raise self._fault_at(
            place,
            f"{seen}, but must be one whole number;"
            f' set "{node.id}".{side} = 1024 under [inputs] in {self.toml.name}',
        )

    def _spot(
        self,
        path: frozenset[str],
        spot: str | Spot,
        key: str,
        inputs: Callable[[Node], list[str]],
        kind: type,
    ) -> NodeInput:
        node = self._on(path, self._named(spot if isinstance(spot, str) else spot.node, key), key)
        names = inputs(node) or [n for n, v in node.inputs.items() if is_a(v, kind)]
        name = spot.input if isinstance(spot, Spot) else next(iter(names), None)
        if name is None or name not in node.inputs:
            known = ", ".join(sorted(node.inputs)) or "none"
            raise WorkflowFault(
                self.toml,
                f"nodes.{key}: the node's inputs are: {known}",
                node=str(node),
                input_name=name,
            )
        place = NodeInput(node=node.id, input=name)
        return self._one_place(carriers(self.graph, place, kind) or {place}, key)

    def _named(self, name: str, key: str) -> Node:
        return self.graph.named(name, file=self.toml, key=f"nodes.{key}")

    def _on(self, path: frozenset[str], node: Node, key: str) -> Node:
        if node.id not in path:
            raise WorkflowFault(
                self.toml, f"nodes.{key}: does not lead to the save node", node=str(node)
            )
        return node

    def _one(self, found: list[Node], what: str, key: str) -> Node:
        if len(found) == 1:
            return found[0]
        raise self.graph.fault(
            f"more than one node could be the {what}: {_listed(found)};"
            f' choose with {key} = "…" under [nodes] in {self.toml.name}'
        )

    def _one_place(self, found: set[NodeInput], key: str) -> NodeInput:
        if len(found) == 1:
            return next(iter(found))
        spots = ", ".join(f"{self.graph.nodes[p.node]} input {p.input}" for p in sorted(found))
        raise self.graph.fault(
            f"more than one place could be the {key}: {spots};"
            f' choose with {key} = {{ node = "…", input = "…" }} under [nodes] in {self.toml.name}'
        )

    def _fault_at(self, place: NodeInput, why: str) -> WorkflowFault:
        return self.graph.fault(why, node=self.graph.nodes[place.node], input_name=place.input)


def _listed(nodes: Iterable[Node]) -> str:
    return ", ".join(sorted(map(str, nodes)))
