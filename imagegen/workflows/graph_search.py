"""Follows the links of a graph upstream, and tells what a node is for by its inputs; pure.

Classes are not looked at, with one exception for save nodes: custom nodes have any class name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagegen.workflows.graph import Graph, Link, Node

# The inputs in which text encoders have their text, most likely first.
TEXT_INPUTS = ("text", "prompt", "user_prompt", "positive_prompt", "positive")
SEED_INPUTS = ("seed", "noise_seed")
IMAGE_INPUTS = ("images", "image")
# The inputs in which primitive nodes have the value that they pass on, most likely first.
PASSED_ON_INPUTS = ("value", "text", "string", "prompt", "int", "number")


@dataclass(frozen=True, kw_only=True, order=True)
class NodeInput:
    """The input `input` of the node with the id `node`."""

    node: str
    input: str


def prompt_links(node: Node) -> list[Link]:
    """Return the links that lead from a conditioning towards the prompt text."""
    # A node with a positive and a negative branch (CFGGuider, ControlNet) names them.
    if (positive := node.link("positive")) is not None:
        return [positive]
    return _links_starting_with(node, "cond") or list(active_links(node).values())


def latent_links(node: Node) -> list[Link]:
    """Return the links that lead from a latent towards its size."""
    return (
        _links_starting_with(node, "latent")
        or _links_starting_with(node, "samples")
        or list(active_links(node).values())
    )


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


def text_inputs(node: Node) -> list[str]:
    """Return the names of the inputs that hold a prompt text or a link to one."""
    # A link into `positive` is a conditioning; into the others it is a text.
    return [
        name
        for name in TEXT_INPUTS
        if isinstance(value := node.inputs.get(name), str)
        or (isinstance(value, Link) and name != "positive")
    ]


def seed_inputs(node: Node) -> list[str]:
    """Return the names of the inputs that hold a seed or a link to one."""
    return [name for name in SEED_INPUTS if name in node.inputs]


def has_size(node: Node) -> bool:
    """Whether a node sets the size of the image."""
    return "width" in node.inputs and "height" in node.inputs


def is_sampler(node: Node) -> bool:
    """Whether a node draws: it has links to a latent image and to a conditioning or a guider."""
    return node.link("latent_image") is not None and node.link("positive", "guider") is not None


def image_link(node: Node) -> Link | None:
    """Return the link through which a node gets its images, None if it has none."""
    return node.link(*IMAGE_INPUTS)


def save_rank(node: Node) -> int:
    """Rank nodes that get images, lowest first: SaveImage, other save nodes, previews."""
    # Graphs often preview what they also save, so a preview counts only if nothing is saved.
    if node.class_type == "SaveImage":
        return 0
    return 1 if "save" in node.class_type.casefold() else 2


def nearest_upstream(
    graph: Graph,
    start: Link,
    is_wanted: Callable[[Node], bool],
    next_links: Callable[[Node], list[Link]],
) -> list[Node]:
    """Follow links upstream from `start`; return the nearest wanted node of each branch.

    `next_links` returns the links of a node that are followed.
    """
    found: dict[str, Node] = {}
    unvisited, seen = [start.node], set[str]()
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


def value_sources(graph: Graph, node_input: NodeInput, kind: type) -> set[NodeInput]:
    """Return the inputs from which the value of an input comes, as literals of this type.

    Follows links through primitive nodes and switches. Empty if no literal is found.
    """
    value = graph.nodes[node_input.node].inputs.get(node_input.input)
    if is_a(value, kind):
        return {node_input}
    if not isinstance(value, Link):
        return set()
    source = graph.nodes[value.node]
    return {
        found
        for name in _likely_inputs(source, node_input.input, kind)
        for found in value_sources(graph, NodeInput(node=source.id, input=name), kind)
    }


def is_a(value: Any, kind: type) -> bool:
    """Whether a value is of a type; true and false do not count as integers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _links_starting_with(node: Node, start: str) -> list[Link]:
    return [link for name, link in node.links.items() if name.startswith(start)]


def _likely_inputs(node: Node, wanted: str, kind: type) -> list[str]:
    for name in (wanted, *PASSED_ON_INPUTS):
        value = node.inputs.get(name)
        if isinstance(value, Link) or is_a(value, kind):
            return [name]
    return list(active_links(node)) or [
        name for name, value in node.inputs.items() if is_a(value, kind)
    ]
