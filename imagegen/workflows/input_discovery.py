"""Finds the inputs of a graph for prompt texts, seeds and size, and its output image; pure.

They are found by following links upstream from the save node, or named by persona.toml.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import (
    FRAME_INPUTS,
    NodeInput,
    batch_inputs,
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
from imagegen.workflows.prompt_choice import PromptChoice
from imagegen.workflows.prompt_texts import DrawnTexts, cut_links
from imagegen.workflows.role_lookup import RoleLookup, listed


@dataclass(frozen=True, kw_only=True)
class WorkflowInputs:
    """The inputs that `bind` sets; `save` is the id of the save node, `image` the link into it.

    `texts` are all places of the prompt. `widths` and `heights` are empty if the graph has a size
    of its own, such as that of a picture that it begins with. `batches` are where the number of
    images stands, empty if the graph draws one at a time.
    """

    save: str
    image: Link
    texts: frozenset[NodeInput]
    seeds: frozenset[NodeInput]
    widths: frozenset[NodeInput]
    heights: frozenset[NodeInput]
    batches: frozenset[NodeInput]


@dataclass(frozen=True, kw_only=True)
class FoundInputs:
    """What was found, and the part of the graph that draws the image."""

    inputs: WorkflowInputs
    graph: Graph


def find_inputs(graph: Graph, nodes: NodeRoles, *, toml: Path) -> FoundInputs:
    """Return the inputs that `bind` sets; nodes that persona.toml names are preferred.

    The returned graph has no node that does not lead to the image, and draws one image.
    `toml` is the path of that file, for sentences of errors.

    Raises:
        WorkflowFault: an input is not found, several could be it, words would be drawn beside the
            prompt, or the graph draws a video.
    """
    return _Search(graph=graph, nodes=nodes, toml=toml).found()


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One search in one graph."""

    graph: Graph
    nodes: NodeRoles
    toml: Path

    @cached_property
    def _lookup(self) -> RoleLookup:
        return RoleLookup(graph=self.graph, toml=self.toml)

    def found(self) -> FoundInputs:
        save, image = self._save()
        self._expect_a_sampler(save)
        texts = PromptChoice(
            nodes=self.nodes, lookup=self._lookup, drawn=self._drawn, samplers=self._samplers
        ).texts()
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
            batches=self._batches(drawing),
        )
        return FoundInputs(inputs=inputs, graph=_with_one_image(drawing))

    def _save(self) -> tuple[Node, Link]:
        save = (
            self._lookup.named(self.nodes.save, "save") if self.nodes.save else self._likely_save()
        )
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
            raise self.graph.fault(
                "there is no save node: add a SaveImage that the picture is linked into"
            )
        drawn = [node for node in ends if self._texts_before(node).samplers()]
        if not drawn:
            raise self.graph.fault(
                "nothing is drawn from a prompt: there is no sampler, a node with links into"
                " latent_image and positive or guider, or with a seed and a prompt, that leads to"
                f" a save node ({listed(ends)})"
            )
        best = min(map(save_rank, drawn))
        return self._lookup.one_node(
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
            return [self._lookup.on_path(self._drawn.path, self.nodes.sampler, "sampler")]
        return self._drawn.samplers()

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
        node = self._lookup.on_path(self._drawn.path, named, "seed")
        names = (
            seed_inputs(node) or [n for n, v in node.inputs.items() if is_number(v)]
            if isinstance(named, str)
            else [named.input]
        )
        if not names or names[0] not in node.inputs:
            raise self._lookup.fault_of_input(node, named, "seed")
        return self._seed_source(drawing, NodeInput(node=node.id, input=names[0]))

    def _seed_source(self, drawing: Graph, seed: NodeInput) -> NodeInput:
        value = self.graph.nodes[seed.node].inputs[seed.input]
        if not isinstance(value, Link) and not is_number(value, int):
            raise self._lookup.fault_at(seed, f"a seed must be a whole number, not {value!r}")
        # If the seed comes from a node without a number (a random generator), that link is replaced
        # by our number.
        sources = number_sources(drawing, seed) or {seed}
        if len(sources) > 1:
            raise self._lookup.fault_of_several(sources, "seed")
        return next(iter(sources))

    def _sizes(self, drawing: Graph) -> tuple[frozenset[NodeInput], frozenset[NodeInput]]:
        """Return the places of width and height; none if the graph shows no single size."""
        if self.nodes.size:
            named = [
                self._lookup.on_path(self._drawn.path, each, "size") for each in self.nodes.size
            ]
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

    def _batches(self, drawing: Graph) -> frozenset[NodeInput]:
        """Return where the number of images stands: in the first latents, or where they are repeated."""
        starts = [link for s in self._samplers if (link := s.link("latent_image"))]
        nodes = nearest_upstream(drawing, starts, lambda n: bool(batch_inputs(n)), latent_links)
        return frozenset(
            place
            for node in nodes
            for name in batch_inputs(node)
            for place in number_sources(drawing, NodeInput(node=node.id, input=name))
        )

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
                        raise self._lookup.fault_at(
                            source,
                            f"makes {frames} frames of a video, and a request is a picture;"
                            f' for one picture set "{source.node}".{source.input} = 1 under'
                            f" [inputs] in {self.toml.name}",
                        )


def _with_one_image(drawing: Graph) -> Graph:
    """Return the graph without its batches."""
    inputs: dict[str, dict[str, int]] = {}
    for node in drawing.nodes.values():
        for name in batch_inputs(node):
            for place in number_sources(drawing, NodeInput(node=node.id, input=name)):
                inputs.setdefault(place.node, {})[place.input] = 1
    return drawing.with_values(inputs)
