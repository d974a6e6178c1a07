"""Graphs that any ComfyUI draws without a model; no two are equal, unless they are copied."""

import secrets
from typing import Any

Graph = dict[str, Any]

# The subfolder for everything that the tests leave in a server's output folder.
FOLDER = "chatflow-imagegen-contract"
WIDTH, HEIGHT = 64, 48


def fresh_prefix() -> str:
    """Return a file name prefix that nobody has used."""
    return f"{FOLDER}/{secrets.token_hex(8)}"


def empty_image(width: int = WIDTH, height: int = HEIGHT, batch_size: int = 1) -> Graph:
    """Return an EmptyImage node with a colour of its own."""
    size = {"width": width, "height": height, "batch_size": batch_size}
    return {"class_type": "EmptyImage", "inputs": {**size, "color": secrets.randbelow(2**24)}}


def saved(image: Graph | None = None, **inputs: Any) -> Graph:
    """Return a graph that saves to the output folder."""
    fields = {"images": ["1", 0], "filename_prefix": fresh_prefix(), **inputs}
    return {"1": image or empty_image(), "2": {"class_type": "SaveImage", "inputs": fields}}


def previewed(image: Graph | None = None, **inputs: Any) -> Graph:
    """Return a graph that saves to the temp folder."""
    fields = {"images": ["1", 0], **inputs}
    return {"1": image or empty_image(), "2": {"class_type": "PreviewImage", "inputs": fields}}


def scaled(**inputs: Any) -> Graph:
    """Return a graph with an ImageScale in the middle."""
    fields = {"upscale_method": "area", "width": 32, "height": 32, "crop": "disabled", **inputs}
    scale = {"class_type": "ImageScale", "inputs": {"image": ["1", 0], **fields}}
    end = {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}
    return {"1": empty_image(), "3": scale, "2": end}


def slow(units: int, side: int) -> Graph:
    """Return a graph that scales one large image down, as many times as there are units.

    The work is in reading the large image; the results are small, also in a server's cache.
    """
    graph = {"big": empty_image(side, side)}
    for unit in range(units):
        graph[f"scale-{unit}"] = {
            "class_type": "ImageScale",
            "inputs": {
                "image": ["big", 0],
                "upscale_method": "lanczos",
                "width": 16,
                "height": 16 + unit,
                "crop": "disabled",
            },
        }
        end = {"images": [f"scale-{unit}", 0]}
        graph[f"end-{unit}"] = {"class_type": "PreviewImage", "inputs": end}
    return graph
