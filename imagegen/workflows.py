"""Loads, checks and binds the persona workflows; pure after loading."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagegen import graphs, places, weights
from imagegen.comfy.order import THROUGH_SOCKET
from imagegen.comfy.stock import ModelFile, Needs
from imagegen.graphs import Graph, Node
from imagegen.links import Place
from imagegen.places import Places
from imagegen.prompts import personas
from imagegen.prompts.personas import Persona
from imagegen.seeds import MAX_SEED
from imagegen.workflow_faults import UnknownPersona, WorkflowFault, WorkflowsMissing

__all__ = [
    "MAX_SEED",
    "BoundGraph",
    "Library",
    "ModelFile",
    "UnknownPersona",
    "Workflow",
    "WorkflowFault",
    "WorkflowsMissing",
    "bind",
    "load",
    "model_files",
]

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
    places: Places
    sends_pictures: bool
    width: int
    height: int
    needs: Needs


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


@dataclass(frozen=True, kw_only=True)
class BoundGraph:
    """A graph ready to post; the picture is among the outputs of `output_node`.

    `cache_key` is equal for graphs that draw the same picture, whatever their ids and file names.
    """

    graph: dict[str, Any]
    output_node: str
    needs: Needs
    width: int
    height: int
    seed: int
    cache_key: str


def load(directory: Path, own: Path | None = None) -> Library:
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
    cache_key = graphs.digest(nodes, workflow.places.image)
    nodes[workflow.places.save] = _save(workflow, prefix, keep=keep_outputs)
    return BoundGraph(
        graph={node_id: node.posted() for node_id, node in nodes.items()},
        output_node=workflow.places.save,
        needs=workflow.needs,
        width=width,
        height=height,
        seed=seed,
        cache_key=cache_key,
    )


def model_files(library: Library) -> Mapping[str, frozenset[str]]:
    """Give the files that all workflows need, by ComfyUI's folder under models/."""
    return weights.by_folder(
        file for workflow in library.workflows.values() for file in workflow.needs.models
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
    persona, wiring = personas.read(toml)
    path = described / wiring.workflow
    if not path.exists():
        path = folder / wiring.workflow
    whole = graphs.read(path).with_inputs(wiring.inputs, file=toml)
    weights.check(whole)
    found = places.find(whole, wiring.nodes, toml=toml)
    # Other outputs are not drawn: they would cost time and leave files on the host.
    graph = whole.only(whole.upstream([found.image.node]))
    sends_pictures = whole.nodes[found.save].class_type == THROUGH_SOCKET
    return Workflow(
        persona=persona,
        path=path,
        graph=graph,
        places=found,
        sends_pictures=sends_pictures,
        width=_side(graph, found.width),
        height=_side(graph, found.height),
        needs=Needs(
            model_set=weights.model_set(graph),
            classes=frozenset(node.class_type for node in graph.nodes.values())
            | ({THROUGH_SOCKET} if sends_pictures else {"SaveImage", "PreviewImage"}),
            models=weights.files(graph),
        ),
    )


def _side(graph: Graph, place: Place) -> int:
    side: int = graph.nodes[place.node].inputs[place.input]
    if (why := _wrong_side(side)) is not None:
        raise graph.fault(why, node=graph.nodes[place.node], input_name=place.input)
    return side


def _wrong_side(side: int) -> str | None:
    if LEAST_SIDE <= side <= MOST_SIDE and side % SIDE_STEP == 0:
        return None
    return f"{side} is no size: from {LEAST_SIDE} to {MOST_SIDE}, a multiple of {SIDE_STEP}"


def _values(
    workflow: Workflow, *, prompt: str, seed: int, width: int, height: int
) -> dict[Place, str | int]:
    if not 0 <= seed <= MAX_SEED:
        raise WorkflowFault(workflow.path, f"seed {seed} is not from 0 to {MAX_SEED}")
    found = workflow.places
    for place, side in ((found.width, width), (found.height, height)):
        if (why := _wrong_side(side)) is not None:
            raise workflow.graph.fault(
                why, node=workflow.graph.nodes[place.node], input_name=place.input
            )
    if found.width == found.height and width != height:
        raise WorkflowFault(
            workflow.path, f"draws squares only: one number is both sides, {width} x {height} asked"
        )
    sides = {found.width: width, found.height: height}
    return {found.text: prompt, **sides, **dict.fromkeys(found.seeds, seed)}


def _bound(node: Node, values: Mapping[Place, str | int]) -> Node:
    inputs = {
        name: values.get(Place(node=node.id, input=name), value)
        for name, value in node.inputs.items()
    }
    return replace(node, inputs=MappingProxyType(inputs))


def _save(workflow: Workflow, prefix: str, *, keep: bool) -> Node:
    found, images = workflow.places, {"images": workflow.places.image}
    if workflow.sends_pictures:  # it always runs, so there is no cache to escape
        return Node(id=found.save, class_type=THROUGH_SOCKET, title="Picture", inputs=images)
    # A preview goes to the host's temp folder. It takes no prefix and the server ignores it, but
    # the server's cache does not: without it an equal graph would be answered with an old file.
    return Node(
        id=found.save,
        class_type="SaveImage" if keep else "PreviewImage",
        title="Picture",
        inputs={**images, "filename_prefix": prefix},
    )
