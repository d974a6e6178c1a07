"""The model files that a graph names."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from imagegen.comfy.capabilities import ModelFile
from imagegen.workflows.graph import Graph, Link, Node

# ComfyUI's folders under models/, by the input that names a file of them.
FOLDERS = {
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "ckpt_name": "checkpoints",
    "control_net_name": "controlnet",
}
# Inputs whose name alone does not say which folder.
CLASS_FOLDERS = {
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
}
SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
NUMBERS = ("strength_model", "strength_clip", "shift", "cfg", "denoise")


def model_files_of(graph: Graph) -> frozenset[ModelFile]:
    """Give every model file that the graph names."""
    return frozenset(file for node in graph.nodes.values() for file in _files(node))


def model_set(graph: Graph) -> str:
    """Give a short key that is equal for graphs which need the same weights in memory.

    Files, how they are cast, LoRA strengths and shift count; node ids, order and texts do not.
    """
    parts = sorted(_canonical(node) for node in graph.nodes.values() if _shapes_the_model(node))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def group_by_folder(model_files: Iterable[ModelFile]) -> Mapping[str, frozenset[str]]:
    """Sort file names by the ComfyUI folder they belong in; files of unknown loaders are left out."""
    shelves: dict[str, set[str]] = {}
    for file in model_files:
        folder = CLASS_FOLDERS.get((file.class_type, file.input), FOLDERS.get(file.input))
        if folder is not None:
            shelves.setdefault(folder, set()).add(file.name)
    return {folder: frozenset(names) for folder, names in sorted(shelves.items())}


def check_model_names(graph: Graph) -> None:
    """Refuse a strength, shift or scale that is not a number, and a file without a name."""
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            if name in NUMBERS and not _is_number(value) and not isinstance(value, Link):
                raise graph.fault(f"must be a number, not {value!r}", node=node, input_name=name)
            if name in FOLDERS and not isinstance(value, Link) and not _is_name(value):
                raise graph.fault(
                    f"must be the name of a file, not {value!r}", node=node, input_name=name
                )


def _files(node: Node) -> Iterator[ModelFile]:
    for name, value in node.inputs.items():
        for text in _strings(value):
            if name in FOLDERS or text.endswith(SUFFIXES):
                yield ModelFile(class_type=node.class_type, input=name, name=text)


def _strings(value: Any) -> Iterator[str]:
    # Custom LoRA stacks keep their files in an object: {"on": true, "lora": "x.safetensors"}.
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)


def _shapes_the_model(node: Node) -> bool:
    return "shift" in node.inputs or any(_files(node))


def _canonical(node: Node) -> str:
    literals = {
        # 1 and 1.0 are the same strength.
        name: float(value) if _is_number(value) else value
        for name, value in node.inputs.items()
        if not isinstance(value, Link)
    }
    return json.dumps([node.class_type, literals], sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
