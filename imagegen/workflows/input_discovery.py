"""Finds the inputs of a graph for prompt texts, seeds and size, and its output image; pure.

They are found by following links upstream from the save node, or named by persona.toml.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import (
    BATCH_INPUTS,
    FRAME_INPUTS,
    NodeInput,
    image_link,
    is_number,
    is_of_video,
    last_of,
    latent_links,
    nearest_upstream,
    number_sources,
    save_rank,
    seed_inputs,
    size_inputs,
)
from imagegen.workflows.persona import NodeRoles, Place
from imagegen.workflows.prompt_texts import (
    DrawnTexts,
    Encoder,
    cut_links,
    is_text,
    prompt_inputs,
)

_MAX_QUOTED = 60


@dataclass(frozen=True, kw_only=True)
class WorkflowInputs:
    """The inputs that `bind` sets; `save` is the id of the save node, `image` the link into it.

    `texts` are all places of the prompt. `widths` and `heights` are empty if the graph has a size
    of its own, such as that of a picture that it begins with.
    """

    save: str
    image: Link
    texts: frozenset[NodeInput]
    seeds: frozenset[NodeInput]
    widths: frozenset[NodeInput]
    heights: frozenset[NodeInput]


@dataclass(frozen=True, kw_only=True)
class FoundInputs:
    """What was found, and the part of the graph that draws the image."""

    inputs: WorkflowInputs
    graph: Graph


def find_inputs(graph: Graph, nodes: NodeRoles, *, toml: Path, images: int = 1) -> FoundInputs:
    """Return the inputs that `bind` sets; nodes that persona.toml names are preferred.

    The returned graph has no node that does not lead to the image, and draws `images` at once.
    `toml` is the path of that file, for sentences of errors.

    Raises:
        WorkflowFault: an input is not found, several could be it, words would be drawn beside the
            prompt, or the graph draws a video.
    """
    return _Search(graph=graph, nodes=nodes, toml=toml).found(images)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One search in one graph."""

    graph: Graph
    nodes: NodeRoles
    toml: Path

    def found(self, images: int) -> FoundInputs:
        save, image = self._save()
        self._expect_a_sampler(save)
        texts = self._texts()
        # What wrote a text that the prompt replaces is not needed any more.
        cut = cut_links(self.graph, texts)
        drawing = cut.only(cut.upstream([image.node]))
        self._expect_no_frames(drawing)
        widths, heights = self._sizes(drawing)
        inputs = WorkflowInputs(
            save=save.id,
            image=image,
            texts=frozenset(place for place in texts if place.node in drawing.nodes),
            seeds=self._seeds(drawing),
            widths=widths,
            heights=heights,
        )
        return FoundInputs(inputs=inputs, graph=self._with_batch(drawing, images))

    def _save(self) -> tuple[Node, Link]:
        save = self._named(self.nodes.save, "save") if self.nodes.save else self._likely_save()
        image = image_link(save)
        if image is None:
            raise self.graph.fault("no picture is linked into it", node=save, input_name="images")
        return save, image

    def _likely_save(self) -> Node:
        nodes = self.graph.nodes.values()
        sources = {link.node for node in nodes for link in node.links.values()}
        behind_videos = {
            link.node
            for node in nodes
            if node.id not in sources and (link := node.link("video")) is not None
        }
        ends = [
            node
            for node in nodes
            if image_link(node) is not None
            # Some save nodes pass their picture on.
            and (node.id not in sources or save_rank(node) < 2 or node.id in behind_videos)
        ]
        if not ends:
            raise self.graph.fault("there is no save node: add a SaveImage that the picture is linked into")
        drawn = [node for node in ends if self._texts_before(node).samplers()]
        if not drawn:
            raise self.graph.fault(
                "nothing is drawn from a prompt: there is no sampler, a node with links into"
                " latent_image and positive or guider, or with a seed and a prompt, that leads to"
                f" a save node ({_listed(ends)})"
            )
        best = min(map(save_rank, drawn))
        return self._one_node(
            last_of(self.graph, [node for node in drawn if save_rank(node) == best]),
            "save node",
            "save",
        )

    def _texts_before(self, node: Node) -> DrawnTexts:
        return DrawnTexts(graph=self.graph, path=self.graph.upstream([node.id]))

    @cached_property
    def _drawn(self) -> DrawnTexts:
        return self._texts_before(self._save()[0])

    def _expect_a_sampler(self, save: Node) -> None:
        if not self._samplers:
            raise self.graph.fault("no sampler leads to it", node=save, input_name="images")

    @cached_property
    def _samplers(self) -> list[Node]:
        if self.nodes.sampler is not None:
            return [self._on_path(self._named(self.nodes.sampler, "sampler"), "sampler")]
        return self._drawn.samplers()

    def _texts(self) -> frozenset[NodeInput]:
        texts = self._named_texts() if self.nodes.text else self._likely_texts()
        texts |= self._drawn.copies(texts) - self._kept
        # What another node would write there, a language model or chance, no screen would see.
        texts |= self._drawn.written(texts)
        left = self._drawn.left_over(texts) - self._kept
        if left:
            raise self._fault_of_words(left)
        return texts

    def _named_texts(self) -> frozenset[NodeInput]:
        return frozenset(
            place for named in self.nodes.text for place in self._places_of_text(named)
        )

    def _places_of_text(self, named: Place) -> frozenset[NodeInput]:
        node = self._on_path(self._named(named, "text"), "text")
        if isinstance(named, str):
            names = prompt_inputs(self.graph, node) or [
                name
                for name in node.inputs
                if is_text(self.graph, NodeInput(node=node.id, input=name))
            ]
        else:
            names = [named.input] if named.input in node.inputs else []
        if not names:
            raise self._fault_of_input(node, named, "text")
        for name in names:
            place = NodeInput(node=node.id, input=name)
            if place not in self._drawn.places and not is_text(self.graph, place):
                raise WorkflowFault(
                    self.toml, "nodes.text: is not a text", node=str(node), input_name=name
                )
        return frozenset().union(*(self._drawn.places_of(node, name) for name in names))

    def _likely_texts(self) -> frozenset[NodeInput]:
        found = {e.node.id: e for s in self._samplers for e in self._drawn.encoders_of(s)}
        encoders = [e for e in found.values() if not e.all_places <= self._kept]
        if not encoders:
            sampler = self._samplers[0]
            raise self.graph.fault(
                'leads to no text; name the node that takes the prompt with text = "…" under'
                f" [nodes] in {self.toml.name}",
                node=sampler,
                input_name=next(iter({"positive", "guider"} & set(sampler.inputs)), None),
            )
        with_words = [each for each in encoders if self._words_of(each)]
        encoders = with_words or encoders[:1] if len(encoders) > 1 else encoders
        for encoder in encoders:
            for places in encoder.places.values():
                self._expect_one_text(places - self._kept)
        if len({self._words_of(each) for each in encoders}) > 1:
            self._expect_one_text(frozenset().union(*(e.all_places for e in encoders)) - self._kept)
        return frozenset().union(*(each.all_places for each in encoders)) - self._kept

    def _words_of(self, encoder: Encoder) -> frozenset[str]:
        return frozenset(
            self._drawn.words(place) or str(place)
            for place in encoder.all_places
            if self._drawn.has_words(place)
        )

    def _expect_one_text(self, places: frozenset[NodeInput]) -> None:
        written = self._drawn.written_among(places)
        if len({self._drawn.words(place) for place in places - written}) + len(written) > 1:
            raise self._fault_of_several(places, "text")

    @cached_property
    def _kept(self) -> frozenset[NodeInput]:
        kept = set()
        for named in self.nodes.keep:
            node = self._named(named, "keep")
            names = list(node.inputs) if isinstance(named, str) else [named.input]
            kept |= {NodeInput(node=node.id, input=name) for name in names}
        return frozenset(kept)

    def _fault_of_words(self, left: Iterable[NodeInput]) -> WorkflowFault:
        places = sorted(left)
        quoted = "; ".join(
            f"{self.graph.nodes[each.node]} input {each.input}:"
            f" {self._drawn.words(each)[:_MAX_QUOTED]!r}"
            for each in places
        )
        names = ", ".join(f'"{each}"' for each in dict.fromkeys(place.node for place in places))
        return self.graph.fault(
            f"words would be in every picture beside the prompt: {quoted};"
            f" keep them with keep = [{names}] under [nodes] in {self.toml.name},"
            f" or name them in text, so that the prompt replaces them"
        )

    def _seeds(self, drawing: Graph) -> frozenset[NodeInput]:
        if self.nodes.seed:
            return frozenset(self._named_seed(drawing, named) for named in self.nodes.seed)
        seeds = [
            NodeInput(node=node.id, input=name)
            for node in drawing.nodes.values()
            for name in seed_inputs(node)
        ]
        if not seeds:
            raise self.graph.fault(
                "no node on the way to the save node has a seed or noise_seed; name it with"
                f' seed = {{ node = "…", input = "…" }} under [nodes] in {self.toml.name}'
            )
        return frozenset(self._seed_source(drawing, seed) for seed in seeds)

    def _named_seed(self, drawing: Graph, named: Place) -> NodeInput:
        node = self._on_path(self._named(named, "seed"), "seed")
        names = (
            seed_inputs(node) or [n for n, v in node.inputs.items() if is_number(v)]
            if isinstance(named, str)
            else [named.input]
        )
        if not names or names[0] not in node.inputs:
            raise self._fault_of_input(node, named, "seed")
        return self._seed_source(drawing, NodeInput(node=node.id, input=names[0]))

    def _seed_source(self, drawing: Graph, seed: NodeInput) -> NodeInput:
        value = self.graph.nodes[seed.node].inputs[seed.input]
        if not isinstance(value, Link) and not is_number(value, int):
            raise self._fault_at(seed, f"a seed must be a whole number, not {value!r}")
        # If the seed comes from a node without a number (a random generator), that link is replaced
        # by our number.
        sources = number_sources(drawing, seed) or {seed}
        if len(sources) > 1:
            raise self._fault_of_several(sources, "seed")
        return next(iter(sources))

    def _sizes(self, drawing: Graph) -> tuple[frozenset[NodeInput], frozenset[NodeInput]]:
        """Return the places of width and height; none if the graph shows no single size."""
        if self.nodes.size:
            named = [self._on_path(self._named(each, "size"), "size") for each in self.nodes.size]
            sides = [self._sides(drawing, node) for node in named]
            for node, found in zip(named, sides, strict=True):
                if found is None:
                    raise WorkflowFault(
                        self.toml,
                        "nodes.size: has no width and height that are whole numbers",
                        node=str(node),
                    )
        else:
            starts = [link for s in self._samplers if (link := s.link("latent_image"))]
            nodes = nearest_upstream(drawing, starts, lambda n: bool(size_inputs(n)), latent_links)
            sides = [self._sides(drawing, node) for node in nodes]
            if len(sides) > 1:
                return frozenset(), frozenset()
        known = [each for each in sides if each is not None]
        return frozenset(w for w, _ in known), frozenset(h for _, h in known)

    def _sides(self, drawing: Graph, node: Node) -> tuple[NodeInput, NodeInput] | None:
        sources = [
            number_sources(drawing, NodeInput(node=node.id, input=side))
            for side in size_inputs(node) or ()
        ]
        match [list(found) for found in sources]:
            case [[width], [height]]:
                return width, height
            case _:
                return None

    def _expect_no_frames(self, drawing: Graph) -> None:
        for node in drawing.nodes.values():
            if is_of_video(node):
                raise self.graph.fault(
                    "makes frames of a video, and a request is a picture; use a graph without it",
                    node=node,
                )
            for name in FRAME_INPUTS if size_inputs(node) else ():
                for source in number_sources(drawing, NodeInput(node=node.id, input=name)):
                    frames = drawing.nodes[source.node].inputs[source.input]
                    if frames > 1:
                        raise self._fault_at(
                            source,
                            f"makes {frames} frames of a video, and a request is a picture;"
                            f' for one picture set "{source.node}".{source.input} = 1 under'
                            f" [inputs] in {self.toml.name}",
                        )

    def _with_batch(self, drawing: Graph, images: int) -> Graph:
        """Return the graph that draws so many images at once."""
        batches = {
            source: None
            for node in drawing.nodes.values()
            for name in BATCH_INPUTS
            if name == "batch_size" or node.link("samples") is not None
            for source in sorted(number_sources(drawing, NodeInput(node=node.id, input=name)))
        }
        if images > 1 and not batches:
            raise WorkflowFault(
                self.toml,
                f"images_per_request = {images}: no node on the way to the picture has a"
                " batch_size",
            )
        inputs: dict[str, dict[str, int]] = {}
        for number, place in enumerate(batches):
            inputs.setdefault(place.node, {})[place.input] = 1 if number else images
        return drawing.with_values(inputs)

    def _named(self, named: Place, key: str) -> Node:
        name = named if isinstance(named, str) else named.node
        return self.graph.named(name, file=self.toml, key=f"nodes.{key}")

    def _on_path(self, node: Node, key: str) -> Node:
        if node.id not in self._drawn.path:
            raise WorkflowFault(
                self.toml, f"nodes.{key}: does not lead to the save node", node=str(node)
            )
        return node

    def _one_node(self, found: Sequence[Node], what: str, key: str) -> Node:
        if len(found) == 1:
            return found[0]
        raise self.graph.fault(
            f"more than one node could be the {what}: {_listed(found)};"
            f' choose with {key} = "{found[0].id}" or another one under [nodes] in'
            f" {self.toml.name}"
        )

    def _fault_of_several(self, found: Iterable[NodeInput], key: str) -> WorkflowFault:
        places = sorted(found)
        named = ", ".join(f"{self.graph.nodes[each.node]} input {each.input}" for each in places)
        one = f'{{ node = "{places[0].node}", input = "{places[0].input}" }}'
        return self.graph.fault(
            f"more than one place could be the {key}: {named};"
            f" choose with {key} = {one} or another one, or a list of them, under [nodes] in"
            f" {self.toml.name}"
        )

    def _fault_of_input(self, node: Node, named: Place, key: str) -> WorkflowFault:
        return WorkflowFault(
            self.toml,
            f"nodes.{key}: the node's inputs are: {', '.join(sorted(node.inputs)) or 'none'}",
            node=str(node),
            input_name=None if isinstance(named, str) else named.input,
        )

    def _fault_at(self, node_input: NodeInput, why: str) -> WorkflowFault:
        node = self.graph.nodes[node_input.node]
        return self.graph.fault(why, node=node, input_name=node_input.input)


def _listed(nodes: Iterable[Node]) -> str:
    return ", ".join(sorted(map(str, nodes)))
