"""Prompt, seed and size into a graph; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.prompt import WEBSOCKET_SAVE_NODE
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Node, graph_digest
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.library import MAX_SEED, Workflow, side_fault


@dataclass(frozen=True, kw_only=True)
class BoundGraph:
    """A graph ready to post; the picture is among the outputs of `output_node`.

    `cache_key` is equal for graphs that draw the same picture, whatever their ids and file names.
    """

    graph: dict[str, Any]
    output_node: str
    requirements: Requirements
    width: int
    height: int
    seed: int
    cache_key: str


def bind(  # noqa: PLR0913 - all by name, half of them rarely given
    workflow: Workflow,
    *,
    prompt: str,
    seed: int,
    prefix: str,
    keep_outputs: bool = False,
    width: int | None = None,
    height: int | None = None,
) -> BoundGraph:
    """Make the graph that draws this prompt; `prefix` must be fresh for each request."""
    width = workflow.width if width is None else width
    height = workflow.height if height is None else height
    values = _values(workflow, prompt=prompt, seed=seed, width=width, height=height)
    nodes = {node.id: _bound(node, values) for node in workflow.graph.nodes.values()}
    cache_key = graph_digest(nodes, workflow.inputs.image)
    nodes[workflow.inputs.save] = _save(workflow, prefix, keep=keep_outputs)
    return BoundGraph(
        graph={node_id: node.posted() for node_id, node in nodes.items()},
        output_node=workflow.inputs.save,
        requirements=workflow.requirements,
        width=width,
        height=height,
        seed=seed,
        cache_key=cache_key,
    )


def _values(
    workflow: Workflow, *, prompt: str, seed: int, width: int, height: int
) -> dict[NodeInput, str | int]:
    if not 0 <= seed <= MAX_SEED:
        raise WorkflowFault(workflow.path, f"seed {seed} is not from 0 to {MAX_SEED}")
    found = workflow.inputs
    for place, side in ((found.width, width), (found.height, height)):
        if (why := side_fault(side)) is not None:
            raise workflow.graph.fault(
                why, node=workflow.graph.nodes[place.node], input_name=place.input
            )
    if found.width == found.height and width != height:
        raise WorkflowFault(
            workflow.path, f"draws squares only: one number is both sides, {width} x {height} asked"
        )
    sides = {found.width: width, found.height: height}
    return {found.text: prompt, **sides, **dict.fromkeys(found.seeds, seed)}


def _bound(node: Node, values: Mapping[NodeInput, str | int]) -> Node:
    inputs = {
        name: values.get(NodeInput(node=node.id, input=name), value)
        for name, value in node.inputs.items()
    }
    return replace(node, inputs=MappingProxyType(inputs))


def _save(workflow: Workflow, prefix: str, *, keep: bool) -> Node:
    found, images = workflow.inputs, {"images": workflow.inputs.image}
    if workflow.sends_images:  # it always runs, so there is no cache to escape
        return Node(id=found.save, class_type=WEBSOCKET_SAVE_NODE, title="Picture", inputs=images)
    # A preview goes to the host's temp folder. It takes no prefix and the server ignores it, but
    # the server's cache does not: without it an equal graph would be answered with an old file.
    return Node(
        id=found.save,
        class_type="SaveImage" if keep else "PreviewImage",
        title="Picture",
        inputs={**images, "filename_prefix": prefix},
    )
