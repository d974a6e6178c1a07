"""Follows the links of a graph upstream, and tells what a node is for by its inputs; pure.

Classes are not looked at, with the exception of save nodes: custom nodes have any class name.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from imagegen.workflows.graph import Graph, Link, Node

SEED_INPUTS = ("seed", "noise_seed")
IMAGE_INPUTS = ("images", "image")
# Inputs in which a node has the number of frames of a video.
FRAME_INPUTS = ("length", "num_frames", "video_frames", "frames", "frame_count")
# The class of a node that makes or takes videos.
_VIDEO_CLASS = re.compile(r"animatediff|^ade_|load_?video", re.IGNORECASE)
# The width and the height of an image, by their inputs; loaders of a pack have the second.
_SIDES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
# The inputs in which primitive nodes have the number that they pass on, most likely first.
_NUMBER_INPUTS = ("value", "int", "number")


@dataclass(frozen=True, kw_only=True, order=True)
class NodeInput:
    """The input `input` of the node with the id `node`."""

    node: str
    input: str


def latent_links(node: Node) -> list[Link]:
    """Return the links that lead from a latent towards its size; none from a picture."""
    links = links_starting_with(node, "latent") or links_starting_with(node, "samples")
    if links or node.link("pixels", *IMAGE_INPUTS) is not None:
        return links
    return list(active_links(node).values())


def active_links(node: Node) -> dict[str, Link]:
    """Return the links whose values are used: of a switch only the selected one."""
    match dict(node.inputs):
        case {"switch": bool(switch), "on_true": Link(), "on_false": Link()}:
            selected = "on_true" if switch else "on_false"
        case {"select": int(select)}:
            selected = f"input{select}"
        case _:
            return node.links
    return {selected: node.links[selected]} if selected in node.links else node.links


def links_starting_with(node: Node, start: str) -> list[Link]:
    """Return the links into inputs whose name begins so."""
    return [link for name, link in node.links.items() if name.startswith(start)]


def seed_inputs(node: Node) -> list[str]:
    """Return the names of the inputs that hold a seed or a link to one."""
    return [name for name in SEED_INPUTS if name in node.inputs]


def size_inputs(node: Node) -> tuple[str, str] | None:
    """Return the names of the inputs in which a node has the size of the image, None if it has none."""
    return next((sides for sides in _SIDES if all(side in node.inputs for side in sides)), None)


def batch_inputs(node: Node) -> list[str]:
    """Return the names of the inputs that hold the number of pictures which are drawn at once."""
    repeats = "amount" in node.inputs and node.link("samples") is not None
    return [name for name in ("batch_size",) if name in node.inputs] + ["amount"] * repeats


def is_sampler(node: Node) -> bool:
    """Whether a node draws: it has links to a latent image and to a conditioning or a guider."""
    return node.link("latent_image") is not None and node.link("positive", "guider") is not None


def is_of_video(node: Node) -> bool:
    """Whether a node makes or takes videos, by its class."""
    return bool(_VIDEO_CLASS.search(node.class_type))


def image_link(node: Node) -> Link | None:
    """Return the link through which a node gets its images, None if it has none."""
    return node.link(*IMAGE_INPUTS)


def save_rank(node: Node) -> int:
    """Rank nodes that get images, lowest first: SaveImage, other save nodes, previews, others."""
    # Graphs often preview what they also save, so a preview counts only if nothing is saved.
    class_type = node.class_type.casefold()
    if class_type == "saveimage":
        return 0
    if "save" in class_type:
        return 1
    return 2 if "preview" in class_type else 3


def nearest_upstream(
    graph: Graph,
    start: Iterable[Link],
    is_wanted: Callable[[Node], bool],
    next_links: Callable[[Node], list[Link]],
) -> list[Node]:
    """Follow links upstream from `start`; return the nearest wanted node of each branch.

    `next_links` returns the links of a node that are followed.
    """
    found: dict[str, Node] = {}
    unvisited, seen = [link.node for link in start], set[str]()
    while unvisited:
        node = graph.nodes[unvisited.pop()]
        if node.id in seen:
            continue
        seen.add(node.id)
        if is_wanted(node):
            found[node.id] = node
        else:
            unvisited.extend(link.node for link in next_links(node))
    return list(found.values())


def first_of(graph: Graph, nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that have none of the others upstream of them."""
    ids = {node.id for node in nodes}
    first = [each for each in ids if not (graph.upstream([each]) - {each}) & ids]
    return [graph.nodes[each] for each in sorted(first)]


def last_of(graph: Graph, nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that are upstream of none of the others."""
    ids = {node.id for node in nodes}
    earlier = {each for last in ids for each in graph.upstream([last]) - {last}}
    return [graph.nodes[each] for each in sorted(ids - earlier)]


def number_sources(graph: Graph, node_input: NodeInput, kind: type = int) -> set[NodeInput]:
    """Return the inputs from which the number of an input comes, as literals of this type.

    Follows links through primitive nodes and switches. Empty if no number is found.
    """
    value = graph.nodes[node_input.node].inputs.get(node_input.input)
    if is_number(value, kind):
        return {node_input}
    if not isinstance(value, Link):
        return set()
    source = graph.nodes[value.node]
    return {
        found
        for name in _likely_inputs(source, node_input.input, kind)
        for found in number_sources(graph, NodeInput(node=source.id, input=name), kind)
    }


def is_number(value: Any, kind: type | tuple[type, ...] = int) -> bool:
    """Whether a value is a number of a type; true and false are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _likely_inputs(node: Node, wanted: str, kind: type) -> list[str]:
    for name in (wanted, *_NUMBER_INPUTS):
        value = node.inputs.get(name)
        if isinstance(value, Link) or is_number(value, kind):
            return [name]
    return list(active_links(node)) or [
        name for name, value in node.inputs.items() if is_number(value, kind)
    ]
