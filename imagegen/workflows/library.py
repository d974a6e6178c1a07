"""Loads and checks the workflows of all personas; pure after loading."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.prompt import WEBSOCKET_SAVE_NODE
from imagegen.workflows.errors import UnknownPersona, WorkflowFault, WorkflowsMissing
from imagegen.workflows.graph import Graph, read_graph
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.input_discovery import WorkflowInputs, find_inputs
from imagegen.workflows.model_files import (
    check_model_names,
    group_by_folder,
    model_files_of,
    model_set,
)
from imagegen.workflows.persona import Persona, read_persona

# Exact in JSON and JavaScript.
MAX_SEED = 2**53 - 1

SIDE_STEP, LEAST_SIDE, MOST_SIDE = 16, 64, 4096


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A persona and the part of its graph that draws the picture.

    `needs` is what a host must have; the save node counts as what binding makes of it: where the
    artist's sends its pictures through the websocket, ours does. `width` and `height` are of the
    first latent: an upscaler after it may enlarge them.
    """

    persona: Persona
    path: Path
    graph: Graph
    inputs: WorkflowInputs
    sends_images: bool
    width: int
    height: int
    requirements: Requirements


@dataclass(frozen=True, kw_only=True)
class Library:
    """Workflows by persona, and what is wrong with those that could not be loaded."""

    workflows: Mapping[str, Workflow]
    faults: Mapping[str, WorkflowFault]

    def find(self, persona: str) -> Workflow:
        """Give a persona's workflow, in any case; raise its fault, or UnknownPersona."""
        name = persona.strip().casefold()
        if name in self.workflows:
            return self.workflows[name]
        if name in self.faults:
            # The same fault is raised for every request: it must not gather their tracebacks.
            raise self.faults[name].with_traceback(None)
        raise UnknownPersona(f"There is no persona called {persona[:40]!r}.")


def load_workflows(directory: Path, own: Path | None = None) -> Library:
    """Load every persona; a broken one is a fault of its own and hides no other.

    A folder in `own` stands before the one of the same name in `directory`, whose graph it draws
    with unless it has one itself.
    """
    workflows: dict[str, Workflow] = {}
    faults: dict[str, WorkflowFault] = {}
    before = {} if own is None else {folder.name.casefold(): folder for folder in _folders(own)}
    shipped = {folder.name.casefold() for folder in _folders(directory)}
    alone = [folder for name, folder in before.items() if name not in shipped]
    for folder in (*_folders(directory), *alone):
        name = folder.name.casefold()
        try:
            if name in workflows:
                raise WorkflowFault(folder, "another folder has this name but for its case")  # noqa: TRY301 - one way into faults
            workflows[name] = _workflow(folder, before.get(name, folder))
        except WorkflowFault as fault:
            faults[folder.name if name in workflows else name] = fault
    return Library(workflows=MappingProxyType(workflows), faults=MappingProxyType(faults))


def required_model_files(library: Library) -> Mapping[str, frozenset[str]]:
    """Give the files that all workflows need, by ComfyUI's folder under models/."""
    return group_by_folder(
        file for workflow in library.workflows.values() for file in workflow.requirements.models
    )


def _folders(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise WorkflowsMissing(directory, "there is no such directory of workflows")
    shown = [path for path in sorted(directory.iterdir()) if not path.name.startswith((".", "_"))]
    found = [path for path in shown if (path / "persona.toml").exists()]
    # A folder with a graph alone is a persona half made; a shared graph lies behind a `_`.
    found += [path for path in shown if path not in found and (path / "workflow.json").exists()]
    if not found:
        raise WorkflowsMissing(directory, "no folder in it has a persona.toml")
    return found


def _workflow(folder: Path, described: Path) -> Workflow:
    toml = described / "persona.toml"
    persona, wiring = read_persona(toml)
    path = described / wiring.workflow
    if not path.exists():
        path = folder / wiring.workflow
    whole = read_graph(path).with_inputs(wiring.inputs, file=toml)
    check_model_names(whole)
    found = find_inputs(whole, wiring.nodes, toml=toml)
    # Other outputs are not drawn: they would cost time and leave files on the host.
    graph = whole.only(whole.upstream([found.image.node]))
    sends_images = whole.nodes[found.save].class_type == WEBSOCKET_SAVE_NODE
    return Workflow(
        persona=persona,
        path=path,
        graph=graph,
        inputs=found,
        sends_images=sends_images,
        width=_side(graph, found.width),
        height=_side(graph, found.height),
        requirements=Requirements(
            model_set=model_set(graph),
            classes=frozenset(node.class_type for node in graph.nodes.values())
            | ({WEBSOCKET_SAVE_NODE} if sends_images else {"SaveImage", "PreviewImage"}),
            models=model_files_of(graph),
        ),
    )


def _side(graph: Graph, place: NodeInput) -> int:
    side: int = graph.nodes[place.node].inputs[place.input]
    if (why := side_fault(side)) is not None:
        raise graph.fault(why, node=graph.nodes[place.node], input_name=place.input)
    return side


def side_fault(side: int) -> str | None:
    if LEAST_SIDE <= side <= MOST_SIDE and side % SIDE_STEP == 0:
        return None
    return f"{side} is no size: from {LEAST_SIDE} to {MOST_SIDE}, a multiple of {SIDE_STEP}"
