"""Writes the folder of a new persona around a graph."""

import json
from pathlib import Path

from imagegen.workflows.graph import Graph
from imagegen.workflows.persona import Persona

_APPEARANCE = "{name} is an adult with short brown hair and brown eyes."
_STYLE = "A natural photograph with soft daylight."
_AGE = 25

_PERSONA_TOML = """\
# A new persona: write here who is drawn. docs/personas.md of the project has all keys.
display_name = {name}
age = {age}
appearance = {appearance}
style = {style}
# The words on which the LoRA of the graph was trained:
trigger_words = []
# SD 1.5 and SDXL read 75 tokens, for which "tags" are better:
prompt_style = "sentences"
"""


class PersonaExists(ValueError):
    """There is a folder of this name already."""


def example_persona() -> Persona:
    """Return the persona that a new folder describes, for a graph without one."""
    name = "Nobody"
    return Persona(
        name=name.casefold(),
        display_name=name,
        age=_AGE,
        appearance=_APPEARANCE.format(name=name),
        style=_STYLE,
    )


def write_persona(directory: Path, name: str, graph: Graph) -> Path:
    """Write the folder of a persona with this graph, and return it.

    persona.toml describes nobody in particular, so that it is for the artist to write; the graph is
    written as ComfyUI exports it, with nothing of its file but the nodes.

    Raises:
        PersonaExists: there is such a file or folder.
        OSError: it cannot be written.
    """
    folder = directory / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise PersonaExists(f"{folder} exists") from error
    nodes = {node.id: node.posted() for node in graph.nodes.values()}
    text = json.dumps(nodes, indent=2, ensure_ascii=False)
    (folder / "workflow.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "persona.toml").write_text(_persona_toml(name), encoding="utf-8")
    return folder


def _persona_toml(name: str) -> str:
    display_name = name.capitalize()
    return _PERSONA_TOML.format(
        name=_quoted(display_name),
        age=_AGE,
        appearance=_quoted(_APPEARANCE.format(name=display_name)),
        style=_quoted(_STYLE),
    )


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML too.
    return json.dumps(text, ensure_ascii=False)
