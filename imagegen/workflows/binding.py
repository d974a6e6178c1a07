"""Binds prompt, seed and size into a graph; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.prompt_job import WEBSOCKET_SAVE_NODE
from imagegen.comfy.reference_pictures import ReferencePicture
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Node, graph_digest
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.library import MAX_SEED, Workflow, side_fault


@dataclass(frozen=True, kw_only=True)
class BoundGraph:
    """A graph that can be posted; the image is among the outputs of the node `output_node`.

    `cache_key` is equal for graphs that draw the same image, even if node ids or file names
    differ. `width` and `height` are in pixels, None if the graph has a size of its own. `pictures`
    must be on the host first.
    """

    graph: dict[str, Any]
    output_node: str
    requirements: Requirements
    width: int | None
    height: int | None
    seed: int
    cache_key: str
    pictures: tuple[ReferencePicture, ...] = ()


def bind(  # noqa: PLR0913 - all by name, half of them rarely given
    workflow: Workflow,
    *,
    prompt: str,
    seed: int,
    prefix: str,
    keep_outputs: bool = False,
    width: int | None = None,
    height: int | None = None,
    count: int = 1,
) -> BoundGraph:
    """Return the graph that draws this prompt.

    `prefix` is that of file names on the host. It must be different for each drawing; otherwise
    the host answers with the cached file of an earlier one. `keep_outputs` saves the image to the
    host's output folder instead of its temp folder. `width` and `height`, in pixels, are those of
    the workflow if None. `count` is how many images are drawn at once.

    Raises:
        WorkflowFault: the workflow cannot draw with this seed or size.
    """
    values = _values(workflow, prompt=prompt, seed=seed, width=width, height=height)
    values |= dict.fromkeys(workflow.inputs.batches, count)
    nodes = {node.id: _bound(node, values) for node in workflow.graph.nodes.values()}
    cache_key = graph_digest(nodes, workflow.inputs.image)
    nodes[workflow.inputs.save] = _save(workflow, prefix, keep=keep_outputs)
    return BoundGraph(
        graph={node_id: node.posted() for node_id, node in nodes.items()},
        output_node=workflow.inputs.save,
        requirements=workflow.requirements,
        width=workflow.width if width is None else width,
        height=workflow.height if height is None else height,
        seed=seed,
        cache_key=cache_key,
        pictures=tuple({each.filename: each for each in workflow.pictures.values()}.values()),
    )


def _values(
    workflow: Workflow, *, prompt: str, seed: int, width: int | None, height: int | None
) -> dict[NodeInput, str | int]:
    if not 0 <= seed <= MAX_SEED:
        raise WorkflowFault(workflow.path, f"seed {seed} is not from 0 to {MAX_SEED}")
    inputs = workflow.inputs
    sides = _side_values(workflow, inputs.widths, width, "width")
    sides |= _side_values(workflow, inputs.heights, height, "height")
    if inputs.widths & inputs.heights:
        asked = {workflow.width if width is None else width} | {
            workflow.height if height is None else height
        }
        if len(asked) > 1:
            raise WorkflowFault(
                workflow.path,
                f"draws squares only: one number is both sides, {width} x {height} asked",
            )
    pictures = {each: picture.input_value for each, picture in workflow.pictures.items()}
    return {
        **dict.fromkeys(inputs.texts, prompt),
        **sides,
        **pictures,
        **dict.fromkeys(inputs.seeds, seed),
    }


def _side_values(
    workflow: Workflow, places: frozenset[NodeInput], side: int | None, name: str
) -> dict[NodeInput, str | int]:
    """Return the values of a side that was asked for; none if it is the graph's own."""
    if side is None:
        return {}
    if not places:
        raise WorkflowFault(
            workflow.path,
            f"has no single {name} that could be set; name its node as size under [nodes] in"
            f" {workflow.persona_file.name}",
        )
    if (why := side_fault(side)) is not None:
        place = min(places)
        raise workflow.graph.fault(
            why, node=workflow.graph.nodes[place.node], input_name=place.input
        )
    return dict.fromkeys(places, side)


def _bound(node: Node, values: Mapping[NodeInput, str | int]) -> Node:
    inputs = {
        name: values.get(NodeInput(node=node.id, input=name), value)
        for name, value in node.inputs.items()
    }
    return replace(node, inputs=MappingProxyType(inputs))


def _save(workflow: Workflow, prefix: str, *, keep: bool) -> Node:
    node_id, images = workflow.inputs.save, {"images": workflow.inputs.image}
    if workflow.sends_images:  # ComfyUI never caches this node, so it needs no prefix
        return Node(id=node_id, class_type=WEBSOCKET_SAVE_NODE, title="Picture", inputs=images)
    # PreviewImage writes to the host's temp folder. It has no prefix input and ignores the prefix,
    # but the server's cache compares it: without it an equal graph would be answered with an old
    # file, which may be deleted.
    return Node(
        id=node_id,
        class_type="SaveImage" if keep else "PreviewImage",
        title="Picture",
        inputs={**images, "filename_prefix": prefix},
    )
