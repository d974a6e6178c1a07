"""The model files that a graph names, and the key of its model set; pure."""

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
# A text that ends so is the name of a model file, whatever the input is called.
SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
_LORA = "lora_name"
# Inputs that must be numbers.
NUMBERS = ("strength_model", "strength_clip", "shift", "cfg", "denoise")


def model_files_of(graph: Graph) -> frozenset[ModelFile]:
    """Return every model file that the graph names."""
    return frozenset(file for node in graph.nodes.values() for file in _files(node))


def has_lora(graph: Graph) -> bool:
    """Whether the graph names the file of a LoRA."""
    return any(file.input == _LORA for file in model_files_of(graph))


def model_set(graph: Graph) -> str:
    """Return a short key that is equal for graphs which need the same weights in memory.

    It depends on files, data types, LoRA strengths and shift; not on node ids, order and texts.
    """
    parts = sorted(_canonical(node) for node in graph.nodes.values() if _shapes_the_model(node))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def group_by_folder(model_files: Iterable[ModelFile]) -> Mapping[str, frozenset[str]]:
    """Return file names by ComfyUI's folder under models/; those of unknown loaders are left out."""
    names_by_folder: dict[str, set[str]] = {}
    for file in model_files:
        folder = CLASS_FOLDERS.get((file.class_type, file.input), FOLDERS.get(file.input))
        if folder is not None:
            names_by_folder.setdefault(folder, set()).add(file.name)
    return {folder: frozenset(names) for folder, names in sorted(names_by_folder.items())}


def is_model_file(input_name: str, text: str) -> bool:
    """Whether a text of an input is the name of a model file."""
    return input_name in FOLDERS or text.endswith(SUFFIXES)


def strings_in(value: Any) -> Iterator[str]:
    """Yield the texts of an input's value."""
    # Custom nodes with several LoRAs keep each in an object: {"on": true, "lora": "x.safetensors"}.
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings_in(inner)


def check_model_names(graph: Graph) -> None:
    """Return if strengths, shifts and scales are numbers and model files have names.

    Raises:
        WorkflowFault: one of them is something else.
    """
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            if name in NUMBERS and not _is_number(value) and not isinstance(value, Link):
                raise graph.fault(
                    f"must be a number, not {value!r}; if that stands for one in another program,"
                    " write the number into the file or export it from ComfyUI again",
                    node=node,
                    input_name=name,
                )
            if name in FOLDERS and not isinstance(value, Link) and not _is_name(value):
                raise graph.fault(
                    f"must be the name of a file, not {value!r}", node=node, input_name=name
                )


def _files(node: Node) -> Iterator[ModelFile]:
    for name, value in node.inputs.items():
        # Nodes with several LoRAs keep those that are switched off.
        if isinstance(value, dict) and value.get("on") is False:
            continue
        for text in strings_in(value):
            if is_model_file(name, text):
                yield ModelFile(class_type=node.class_type, input=name, name=text)


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
