"""What is made of a graph, for the people who write personas: what is set where, or why not.

The files are loaded and screened as a worker does it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link
from imagegen.workflows.graph_file import read_graph
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.library import PersonaFiles, Workflow, graph_path, workflow_of
from imagegen.workflows.new_persona import example_persona
from imagegen.workflows.persona import Persona, WorkflowConfig, read_persona
from imagegen.workflows.screening import check_texts

_MAX_QUOTED = 60


@dataclass(frozen=True, kw_only=True)
class NodeUse:
    """What is done with one node of a graph, or with one input of it.

    `role` is prompt, seed, width, height, kept, set, picture, fault, or not drawn. `detail` is what
    stands there in the file, and for `set` what takes its place.
    """

    role: str
    node: str
    input: str | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkflowReport:
    """What was found in the files of one persona, or in one graph.

    `graph` is the whole graph as the file has it, None if it could not be read. `workflow` is None
    if a worker would not draw it; `fault` says why.
    """

    file: Path
    graph: Graph | None = None
    workflow: Workflow | None = None
    fault: WorkflowFault | None = None
    uses: tuple[NodeUse, ...] = ()


def report_on_persona(folder: Path, shipped: Path | None = None) -> WorkflowReport:
    """Report on the folder of a persona.

    `shipped` is the folder whose graph is used if `folder` has none.
    """
    toml = folder / "persona.toml"
    try:
        persona, config = read_persona(toml)
    except WorkflowFault as fault:
        return WorkflowReport(file=toml, fault=fault)
    path = graph_path(shipped or folder, folder, config)
    return _report(path, persona, PersonaFiles(toml=toml, config=config))


def report_on_graph(file: Path) -> WorkflowReport:
    """Report on a graph as that of a new persona, whose persona.toml says nothing of it."""
    files = PersonaFiles(toml=file.parent / "persona.toml", config=WorkflowConfig())
    return _report(file, example_persona(), files)


def _report(path: Path, persona: Persona, files: PersonaFiles) -> WorkflowReport:
    graph = None
    try:
        graph = read_graph(path)
        workflow = workflow_of(graph, persona, files, check=check_texts)
    except WorkflowFault as fault:
        uses = () if graph is None else tuple(_faulty(graph, fault))
        return WorkflowReport(file=path, graph=graph, fault=fault, uses=uses)
    uses = tuple(_uses(graph, workflow, files.config))
    return WorkflowReport(file=path, graph=graph, workflow=workflow, uses=uses)


def _faulty(graph: Graph, fault: WorkflowFault) -> Iterator[NodeUse]:
    for node in graph.nodes.values():
        if str(node) == fault.node:
            yield NodeUse(role="fault", node=node.id, input=fault.input_name)


def _uses(graph: Graph, workflow: Workflow, config: WorkflowConfig) -> Iterator[NodeUse]:
    inputs = workflow.inputs
    places = (
        ("prompt", inputs.texts),
        ("seed", inputs.seeds),
        ("width", inputs.widths),
        ("height", inputs.heights),
    )
    for role, found in places:
        yield from (_use(role, graph, place) for place in sorted(found))
    for keep in config.nodes.keep:
        name, input_name = (keep, None) if isinstance(keep, str) else (keep.node, keep.input)
        node = graph.named(name, file=workflow.persona_file, key="nodes.keep")
        yield NodeUse(role="kept", node=node.id, input=input_name)
    bound = frozenset[NodeInput]().union(*(found for _, found in places))
    for node in workflow.graph.nodes.values():
        for name, value in node.inputs.items():
            place = NodeInput(node=node.id, input=name)
            if place not in bound and value != graph.nodes[node.id].inputs[name]:
                yield NodeUse(role="set", node=node.id, input=name, detail=_quoted(value))
    yield NodeUse(role="picture", node=inputs.save)
    for node_id in graph.nodes:
        if node_id not in workflow.graph.nodes and node_id != inputs.save:
            yield NodeUse(role="not drawn", node=node_id)


def _use(role: str, graph: Graph, place: NodeInput) -> NodeUse:
    detail = _quoted(graph.nodes[place.node].inputs[place.input])
    return NodeUse(role=role, node=place.node, input=place.input, detail=detail)


def _quoted(value: Any) -> str:
    if isinstance(value, Link):
        return f"from node {value.node}"
    text = " ".join(value.split()) if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"
