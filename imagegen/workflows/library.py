"""Loads and checks the workflows of all personas; after loading no file is read again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.prompt_job import WEBSOCKET_SAVE_NODE
from imagegen.comfy.reference_pictures import ReferencePicture
from imagegen.workflows.errors import UnknownPersona, WorkflowFault, WorkflowsMissing
from imagegen.workflows.graph import Graph
from imagegen.workflows.graph_file import read_graph
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.input_discovery import WorkflowInputs, find_inputs
from imagegen.workflows.model_files import (
    check_model_names,
    group_by_folder,
    model_files_of,
    model_set,
)
from imagegen.workflows.persona import Persona, WorkflowConfig, read_persona
from imagegen.workflows.reference_pictures import pictures_of_hosts, reference_pictures

# The largest integer that JavaScript, and so JSON in a browser, represents exactly.
MAX_SEED = 2**53 - 1

# Limits of width and height, in pixels.
SIDE_STEP, LEAST_SIDE, MOST_SIDE = 8, 64, 4096


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A persona and the part of its graph that draws the image.

    `persona_file` is its persona.toml, and `path` the file of the graph. `requirements` is what a
    host must have, with the save nodes that `bind` uses instead of the graph's own. `sends_images`:
    the graph's save node sends its images through the websocket, and so does the bound one.
    `width` and `height`, in pixels, are those of the first latent: an upscaler after it may enlarge
    the image. They are None if the graph shows no single size. `pictures` are those of the
    persona's folder that the graph loads, by the input that names them.
    """

    persona: Persona
    persona_file: Path
    path: Path
    graph: Graph
    inputs: WorkflowInputs
    sends_images: bool
    width: int | None
    height: int | None
    requirements: Requirements
    pictures: Mapping[NodeInput, ReferencePicture] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PersonaFiles:
    """Where a workflow was read from: its persona.toml, and the inputs of the graph that it sets."""

    toml: Path
    config: WorkflowConfig


# Raises a WorkflowFault for a persona that must not be drawn.
PersonaCheck = Callable[[Workflow, PersonaFiles], None]


@dataclass(frozen=True, kw_only=True)
class Library:
    """Workflows by persona, and the faults of personas that could not be loaded.

    The keys are names of personas in lower case (casefold). `aliases` maps each other name of a
    persona to the name of its folder.
    """

    workflows: Mapping[str, Workflow]
    faults: Mapping[str, WorkflowFault]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def find(self, persona: str) -> Workflow:
        """Return the workflow of a persona by its name or an alias; letter case makes no difference.

        Raises:
            WorkflowFault: the persona's files are broken.
            UnknownPersona: there is no folder for it.
        """
        name = persona.strip().casefold()
        name = self.aliases.get(name, name)
        if name in self.workflows:
            return self.workflows[name]
        if name in self.faults:
            # The same object is raised for every request. Without this it would collect the
            # tracebacks of all of them.
            raise self.faults[name].with_traceback(None)
        raise UnknownPersona(f"There is no persona called {persona[:40]!r}.")

    def name_of(self, persona: str) -> str | None:
        """Return the name of a persona's folder by its name or an alias; None if there is none."""
        name = persona.strip().casefold()
        name = self.aliases.get(name, name)
        return name if name in self.workflows or name in self.faults else None


def load_workflows(
    directory: Path, own: Path | None = None, *, check: PersonaCheck | None = None
) -> Library:
    """Load all personas; one that is broken becomes a fault of the library and stops no other.

    Without `check` nothing is screened: what is drawn for people is loaded by
    `imagegen.workflows.screening.screened_workflows`.

    `own` is the operator's directory of personas. A folder in it replaces the persona.toml of the
    folder with the same name in `directory`, and its graph too if it has one.

    Raises:
        WorkflowsMissing: a directory does not exist or holds no persona.
    """
    workflows: dict[str, Workflow] = {}
    faults: dict[str, WorkflowFault] = {}
    own_folders = {} if own is None else {each.name.casefold(): each for each in _folders(own)}
    shipped = {folder.name.casefold() for folder in _folders(directory)}
    own_only = [folder for name, folder in own_folders.items() if name not in shipped]
    for folder in (*_folders(directory), *own_only):
        name = folder.name.casefold()
        if name in workflows:
            why = "another folder has this name but for its case"
            faults[folder.name] = WorkflowFault(folder, why)
            continue
        try:
            workflows[name] = load_workflow(folder, own_folders.get(name), check=check)
        except WorkflowFault as fault:
            faults[name] = fault
    aliases = _aliases(workflows, faults, own=frozenset(own_folders))
    return Library(
        workflows=MappingProxyType(workflows),
        faults=MappingProxyType(faults),
        aliases=MappingProxyType(aliases),
    )


def required_model_files(library: Library) -> Mapping[str, frozenset[str]]:
    """Return the model files that all workflows need, by ComfyUI's folder under models/."""
    return group_by_folder(
        file for workflow in library.workflows.values() for file in workflow.requirements.models
    )


def side_fault(side: int) -> str | None:
    """Return why a width or height in pixels cannot be drawn, None if it can."""
    if LEAST_SIDE <= side <= MOST_SIDE and side % SIDE_STEP == 0:
        return None
    return f"{side} is no size: from {LEAST_SIDE} to {MOST_SIDE}, a multiple of {SIDE_STEP}"


def _aliases(
    workflows: dict[str, Workflow], faults: dict[str, WorkflowFault], *, own: frozenset[str]
) -> dict[str, str]:
    """Return the persona of each alias; a persona with an alias that is taken becomes a fault.

    An operator's own persona, in `own`, takes its name from the aliases of a shipped one, as it
    would replace a shipped folder of its name.
    """
    aliases: dict[str, str] = {}
    folders = {*workflows, *faults}
    for name, workflow in list(workflows.items()):
        wanted = {alias for alias in workflow.persona.aliases if name in own or alias not in own}
        taken = sorted(wanted & {*folders, *aliases})
        if taken:
            why = f"aliases: another persona has the name {taken[0]!r}"
            faults[name] = WorkflowFault(workflow.persona_file, why)
            del workflows[name]
        else:
            aliases |= dict.fromkeys(wanted, name)
    return aliases


def _folders(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise WorkflowsMissing(directory, "there is no such directory of workflows")
    shown = [path for path in sorted(directory.iterdir()) if not path.name.startswith((".", "_"))]
    found = [path for path in shown if (path / "persona.toml").exists()]
    # A folder with a graph and without a persona.toml is an unfinished persona, and so a fault. A
    # graph that several personas share lies in a folder whose name begins with `_`.
    found += [path for path in shown if path not in found and (path / "workflow.json").exists()]
    if not found:
        raise WorkflowsMissing(directory, "no folder in it has a persona.toml")
    return found


def load_workflow(
    folder: Path, own: Path | None = None, *, check: PersonaCheck | None = None
) -> Workflow:
    """Load one persona from its folder.

    `own` is the operator's folder of that persona: its persona.toml replaces that of `folder`, and
    so does its graph if it has one. `check` is that of `load_workflows`.

    Raises:
        WorkflowFault: the persona cannot be drawn.
    """
    toml = (own or folder) / "persona.toml"
    persona, config = read_persona(toml)
    graph = read_graph(graph_path(folder, own, config))
    return workflow_of(graph, persona, PersonaFiles(toml=toml, config=config), check=check)


def graph_path(folder: Path, own: Path | None, config: WorkflowConfig) -> Path:
    """Return the path of a persona's graph; `folder` and `own` are those of `load_workflow`."""
    path = (own or folder) / config.workflow
    return path if path.exists() else folder / config.workflow


def workflow_of(
    read: Graph, persona: Persona, files: PersonaFiles, *, check: PersonaCheck | None = None
) -> Workflow:
    """Return the workflow of a persona and of the graph that was read for it.

    Raises:
        WorkflowFault: the persona cannot be drawn with it.
    """
    full_graph = read.with_inputs(files.config.inputs, file=files.toml)
    check_model_names(full_graph)
    found = find_inputs(full_graph, files.config.nodes, toml=files.toml)
    graph, inputs = found.graph, found.inputs
    sends_images = full_graph.nodes[inputs.save].class_type == WEBSOCKET_SAVE_NODE
    pictures = reference_pictures(graph, (files.toml.parent, read.file.parent))
    workflow = Workflow(
        persona=persona,
        persona_file=files.toml,
        path=read.file,
        graph=graph,
        inputs=inputs,
        sends_images=sends_images,
        width=_side(graph, inputs.widths),
        height=_side(graph, inputs.heights),
        requirements=Requirements(
            model_set=model_set(graph),
            classes=frozenset(node.class_type for node in graph.nodes.values())
            | ({WEBSOCKET_SAVE_NODE} if sends_images else {"SaveImage", "PreviewImage"}),
            models=model_files_of(graph) | pictures_of_hosts(graph, pictures),
        ),
        pictures=pictures,
    )
    if persona.images_per_request > 1 and not inputs.batches:
        raise WorkflowFault(
            files.toml,
            "images_per_request: the graph has no node with a batch_size before its sampler, so it"
            " draws one picture at a time; leave this key out",
        )
    if check is not None:
        check(workflow, files)
    return workflow


def _side(graph: Graph, places: frozenset[NodeInput]) -> int | None:
    sides = {graph.nodes[each.node].inputs[each.input] for each in places}
    return sides.pop() if len(sides) == 1 else None
