"""What a node is for, told by its inputs; classes of custom packs have any name."""

from imagegen.graphs import Link, Node

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
