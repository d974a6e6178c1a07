"""Searching a graph: follows links upstream, and knows which inputs hold text, seed, size and image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagegen.workflows.graph import Graph, Link, Node

# What encoders call their text, likeliest first.
TEXT_INPUTS = ("text", "prompt", "user_prompt", "positive_prompt", "positive")
SEED_INPUTS = ("seed", "noise_seed")
IMAGE_INPUTS = ("images", "image")


def prompt_links(node: Node) -> list[Link]:
    """Give the links that lead from a conditioning towards the text."""
    # A node that carries both branches (CFGGuider, ControlNet) shows the way by its names.
    if (positive := node.link("positive")) is not None:
        return [positive]
    return _called(node, "cond") or list(live_links(node).values())


def latent_links(node: Node) -> list[Link]:
    """Give the links that lead from a latent towards its size."""
    return _called(node, "latent") or _called(node, "samples") or list(live_links(node).values())


def live_links(node: Node) -> dict[str, Link]:
    """Give the links through which something comes: of a switch, the one that is on."""
    match dict(node.inputs):
        case {"switch": bool(switch), "on_true": Link(), "on_false": Link()}:
            chosen = "on_true" if switch else "on_false"
        case {"select": int(select)}:
            chosen = f"input{select}"
        case _:
            return node.links
    return {chosen: node.links[chosen]} if chosen in node.links else node.links


def _called(node: Node, start: str) -> list[Link]:
    return [link for name, link in node.links.items() if name.startswith(start)]


def text_inputs(node: Node) -> list[str]:
    """Give the inputs that hold a prompt, or to which one is linked."""
    # A link into `positive` is a conditioning; into the others it is a text.
    return [
        name
        for name in TEXT_INPUTS
        if isinstance(value := node.inputs.get(name), str)
        or (isinstance(value, Link) and name != "positive")
    ]


def seed_inputs(node: Node) -> list[str]:
    """Give the inputs that hold a seed."""
    return [name for name in SEED_INPUTS if name in node.inputs]


def has_size(node: Node) -> bool:
    """Tell whether a node says how large the picture is."""
    return "width" in node.inputs and "height" in node.inputs


def is_sampler(node: Node) -> bool:
    """Tell whether a node draws."""
    return node.link("latent_image") is not None and node.link("positive", "guider") is not None


def image_link(node: Node) -> Link | None:
    """Give the link by which a node gets its pictures."""
    return node.link(*IMAGE_INPUTS)


def save_rank(node: Node) -> int:
    """Rank what a node does with a picture, saving first."""
    # Graphs often look at what they also save: a preview counts only where nothing is saved.
    if node.class_type == "SaveImage":
        return 0
    return 1 if "save" in node.class_type.casefold() else 2


# What primitive nodes call the value that they carry, likeliest first.
CARRIED = ("value", "text", "string", "prompt", "int", "number")


@dataclass(frozen=True, kw_only=True, order=True)
class NodeInput:
    """One input of one node."""

    node: str
    input: str


def nearest_upstream(
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


def carriers(graph: Graph, place: NodeInput, kind: type) -> set[NodeInput]:
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
        for found in carriers(graph, NodeInput(node=source.id, input=name), kind)
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
