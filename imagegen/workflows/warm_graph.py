"""The graph of a persona in its smallest form, which makes a host load the persona's models."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from uuid import uuid4

from imagegen.workflows.binding import BoundGraph, bind
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Node
from imagegen.workflows.graph_search import NodeInput, number_sources
from imagegen.workflows.library import LEAST_SIDE, MAX_SEED, Workflow

# Nobody is in the picture, and nothing of any chat.
WARM_PROMPT = "A red apple on a wooden table, morning light."


def warm_graphs(workflow: Workflow) -> Sequence[BoundGraph]:
    """Return graphs that load the workflow's models, the one to be tried first before the others.

    The first one draws one step in the smallest size, as far as the graph lets it: some nodes take
    neither. The last one is as the persona draws.

    Raises:
        WorkflowFault: the workflow cannot draw.
    """
    small = replace(workflow, graph=_with_one_step(workflow.graph))
    try:
        first = _bound(small, side=LEAST_SIDE)
    except WorkflowFault:
        first = _bound(small)
    return first, _bound(workflow)


def _bound(workflow: Workflow, *, side: int | None = None) -> BoundGraph:
    # Another seed each time: a host that has the same picture in its cache would load nothing.
    return bind(
        workflow,
        prompt=WARM_PROMPT,
        seed=secrets.randbelow(MAX_SEED + 1),
        prefix=f"chatflow/{uuid4()}",
        width=side,
        height=side,
    )


def _with_one_step(graph: Graph) -> Graph:
    if any(map(_begins_within_the_steps, graph.nodes.values())):
        return graph  # with one step a second sampler would have nothing to do, and load nothing
    sources = {
        source
        for node in graph.nodes.values()
        for source in number_sources(graph, NodeInput(node=node.id, input="steps"))
    }
    nodes = {node.id: _with_ones(node, sources) for node in graph.nodes.values()}
    return replace(graph, nodes=MappingProxyType(nodes))


def _begins_within_the_steps(node: Node) -> bool:
    return node.inputs.get("start_at_step", 0) != 0 or "step" in node.inputs


def _with_ones(node: Node, sources: set[NodeInput]) -> Node:
    ones: Mapping[str, int] = {each.input: 1 for each in sources if each.node == node.id}
    return replace(node, inputs=MappingProxyType({**node.inputs, **ones})) if ones else node
