"""Finds the inputs of a graph for seed, prompt text and size, and its output image; pure.

They are found by following links upstream from the save node, or named by persona.toml.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import (
    NodeInput,
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
    value_sources,
)
from imagegen.workflows.persona import InputReference, NodeRoles


@dataclass(frozen=True, kw_only=True)
class WorkflowInputs:
    """The inputs that `bind` sets; `save` is the id of the save node, `image` the link into it."""

    save: str
    image: Link
    text: NodeInput
    seeds: frozenset[NodeInput]
    width: NodeInput
    height: NodeInput


def find_inputs(graph: Graph, nodes: NodeRoles, *, toml: Path) -> WorkflowInputs:
    """Return the inputs that `bind` sets; nodes that persona.toml names are preferred.

    `toml` is the path of that file, for sentences of errors.

    Raises:
        WorkflowFault: an input is not found, or several could be it.
    """
    return _Search(graph=graph, nodes=nodes, toml=toml).inputs()


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One search in one graph; `path` is the set of nodes upstream of the save node."""

    graph: Graph
    nodes: NodeRoles
    toml: Path

    def inputs(self) -> WorkflowInputs:
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
        nodes = self.graph.nodes.values()
        sources = {link.node for node in nodes for link in node.links.values()}
        ends = [node for node in nodes if node.id not in sources and image_link(node) is not None]
        if not ends:
            raise self.graph.fault("there is no save node: a SaveImage fed by the picture")
        samplers = self._sampler_ids()
        drawn = [node for node in ends if self.graph.upstream([node.id]) & samplers]
        if not drawn:
            raise self.graph.fault(f"no sampler leads to a save node ({_listed(ends)})")
        best = min(map(save_rank, drawn))
        return self._one_node([n for n in drawn if save_rank(n) == best], "save node", "save")

    def _sampler_ids(self) -> frozenset[str]:
        if self.nodes.sampler is not None:
            return frozenset({self._named(self.nodes.sampler, "sampler").id})
        samplers = frozenset(node.id for node in self.graph.nodes.values() if is_sampler(node))
        if not samplers:
            raise self.graph.fault(
                "there is no sampler: a node with links into latent_image and positive or guider"
            )
        return samplers

    def _sampler(self, path: frozenset[str]) -> Node:
        """Return the first sampler of the image: no other sampler is upstream of it."""
        if self.nodes.sampler is not None:
            return self._on_path(path, self._named(self.nodes.sampler, "sampler"), "sampler")
        samplers = {node_id for node_id in path if is_sampler(self.graph.nodes[node_id])}
        if not samplers:
            raise self.graph.fault("no sampler leads to the save node")
        first = [n for n in samplers if not (self.graph.upstream([n]) - {n}) & samplers]
        return self._one_node([self.graph.nodes[n] for n in first], "sampler", "sampler")

    def _text(self, path: frozenset[str]) -> NodeInput:
        if self.nodes.text is not None:
            return self._named_input(path, self.nodes.text, "text", text_inputs, str)
        sampler = self._sampler(path)
        start = sampler.link("positive", "guider")
        if start is None:
            raise self.graph.fault("no text is linked into it", node=sampler, input_name="positive")
        found = nearest_upstream(
            self.graph, start, lambda node: bool(text_inputs(node)), prompt_links
        )
        if not found:
            raise self.graph.fault("leads to no text", node=sampler, input_name="positive")
        return self._one_input(
            {each for node in found for each in self._text_sources(node)}, "text"
        )

    def _text_sources(self, node: Node) -> set[NodeInput]:
        direct = NodeInput(node=node.id, input=text_inputs(node)[0])
        return value_sources(self.graph, direct, str) or {direct}

    def _seeds(self, path: frozenset[str]) -> frozenset[NodeInput]:
        if self.nodes.seed is not None:
            return frozenset({self._named_input(path, self.nodes.seed, "seed", seed_inputs, int)})
        seeds = [
            NodeInput(node=node_id, input=name)
            for node_id in path
            for name in seed_inputs(self.graph.nodes[node_id])
        ]
        if not seeds:
            raise self.graph.fault("no node on the way to the save node has a seed or noise_seed")
        return frozenset(self._seed_source(seed) for seed in seeds)

    def _seed_source(self, seed: NodeInput) -> NodeInput:
        value = self.graph.nodes[seed.node].inputs[seed.input]
        if not isinstance(value, Link) and not is_a(value, int):
            raise self._fault_at(seed, f"a seed must be a whole number, not {value!r}")
        # If the seed comes from a node without a number (a random generator), that link is replaced
        # by our number.
        return self._one_input(value_sources(self.graph, seed, int) or {seed}, "seed")

    def _size(self, path: frozenset[str]) -> tuple[NodeInput, NodeInput]:
        node = self._size_node(path)
        return self._side(node, "width"), self._side(node, "height")

    def _size_node(self, path: frozenset[str]) -> Node:
        if self.nodes.size is not None:
            return self._on_path(path, self._named(self.nodes.size, "size"), "size")
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
        return self._one_node(found, "size", "size")

    def _side(self, node: Node, side: str) -> NodeInput:
        node_input = NodeInput(node=node.id, input=side)
        found = value_sources(self.graph, node_input, int)
        if len(found) == 1:
            return next(iter(found))
        value = node.inputs.get(side)
        what = (
            f"leads to {len(found) or 'no'} numbers" if isinstance(value, Link) else f"is {value!r}"
        )
        raise self._fault_at(
            node_input,
            f"{what}, but must be one whole number;"
            f' set "{node.id}".{side} = 1024 under [inputs] in {self.toml.name}',
        )

    def _named_input(
        self,
        path: frozenset[str],
        named: str | InputReference,
        key: str,
        likely_inputs: Callable[[Node], list[str]],
        kind: type,
    ) -> NodeInput:
        """Return the input that persona.toml names as `key`, by its node or by node and input."""
        node = self._named(named if isinstance(named, str) else named.node, key)
        self._on_path(path, node, key)
        names = likely_inputs(node) or [n for n, v in node.inputs.items() if is_a(v, kind)]
        name = named.input if isinstance(named, InputReference) else next(iter(names), None)
        if name is None or name not in node.inputs:
            input_names = ", ".join(sorted(node.inputs)) or "none"
            raise WorkflowFault(
                self.toml,
                f"nodes.{key}: the node's inputs are: {input_names}",
                node=str(node),
                input_name=name,
            )
        node_input = NodeInput(node=node.id, input=name)
        return self._one_input(value_sources(self.graph, node_input, kind) or {node_input}, key)

    def _named(self, name: str, key: str) -> Node:
        return self.graph.named(name, file=self.toml, key=f"nodes.{key}")

    def _on_path(self, path: frozenset[str], node: Node, key: str) -> Node:
        if node.id not in path:
            raise WorkflowFault(
                self.toml, f"nodes.{key}: does not lead to the save node", node=str(node)
            )
        return node

    def _one_node(self, found: list[Node], what: str, key: str) -> Node:
        if len(found) == 1:
            return found[0]
        raise self.graph.fault(
            f"more than one node could be the {what}: {_listed(found)};"
            f' choose with {key} = "…" under [nodes] in {self.toml.name}'
        )

    def _one_input(self, found: set[NodeInput], key: str) -> NodeInput:
        if len(found) == 1:
            return next(iter(found))
        named = ", ".join(
            f"{self.graph.nodes[each.node]} input {each.input}" for each in sorted(found)
        )
        raise self.graph.fault(
            f"more than one place could be the {key}: {named};"
            f' choose with {key} = {{ node = "…", input = "…" }} under [nodes] in {self.toml.name}'
        )

    def _fault_at(self, node_input: NodeInput, why: str) -> WorkflowFault:
        node = self.graph.nodes[node_input.node]
        return self.graph.fault(why, node=node, input_name=node_input.input)


def _listed(nodes: Iterable[Node]) -> str:
    return ", ".join(sorted(map(str, nodes)))
