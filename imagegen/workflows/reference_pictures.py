"""The pictures of a persona's folder that its graph loads."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagegen.comfy.capabilities import ModelFile
from imagegen.comfy.reference_pictures import ReferencePicture
from imagegen.image_file import BadImage, ImageTooLarge, check_and_strip
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph
from imagegen.workflows.graph_search import NodeInput

# The picture of a persona whose graph loads one picture, whatever the graph calls it.
FACE = "face.png"
_LOADERS = ("LoadImage", "LoadImageMask")


def reference_pictures(
    graph: Graph, folders: Sequence[Path]
) -> Mapping[NodeInput, ReferencePicture]:
    """Return the picture for each input of a LoadImage node whose file is in one of the folders.

    If the graph loads one picture only, under a name that is in none of them, it is `face.png`.

    Raises:
        WorkflowFault: a file is no picture, or too large.
    """
    names = _loaded_names(graph)
    files = {name: _find(name, folders) for name in set(names.values())}
    if len(files) == 1 and None in files.values():
        files = dict.fromkeys(files, _find(FACE, folders))
    pictures = {name: _read(file) for name, file in files.items() if file is not None}
    return {node_input: pictures[name] for node_input, name in names.items() if name in pictures}


def pictures_of_hosts(
    graph: Graph, ours: Mapping[NodeInput, ReferencePicture]
) -> frozenset[ModelFile]:
    """Return the pictures that must be in a host's own input folder: those that are not `ours`."""
    return frozenset(
        ModelFile(
            class_type=graph.nodes[node_input.node].class_type, input=node_input.input, name=name
        )
        for node_input, name in _loaded_names(graph).items()
        # A host lists the files of its input folder itself, not those of folders in it.
        if node_input not in ours and not set("/\\[") & set(name)
    )


def _loaded_names(graph: Graph) -> dict[NodeInput, str]:
    return {
        NodeInput(node=node.id, input="image"): name
        for node in graph.nodes.values()
        if node.class_type in _LOADERS and isinstance(name := node.inputs.get("image"), str)
    }


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    if Path(name).name != name:
        return None
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _read(file: Path) -> ReferencePicture:
    try:
        image = check_and_strip(file.read_bytes())
    except OSError as error:
        raise WorkflowFault(file, f"cannot be read: {error.strerror}") from error
    except (BadImage, ImageTooLarge) as error:
        why = "too large" if isinstance(error, ImageTooLarge) else "not a PNG, JPEG or WebP"
        raise WorkflowFault(file, f"is no picture that can be used: {why}") from error
    name = hashlib.sha256(image.data).hexdigest()[:32]
    return ReferencePicture(filename=f"{name}.{image.format}", data=image.data)
