"""Writes the folder of a new persona around a graph."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from imagegen.safety.known_words import has_placeholder, is_english
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph
from imagegen.workflows.input_discovery import find_inputs
from imagegen.workflows.model_files import has_lora
from imagegen.workflows.persona import NodeRoles, Persona
from imagegen.workflows.screening import fault_of_label

_APPEARANCE = "{name} is an adult with short brown hair and brown eyes."
_STYLE = "A natural photograph with soft daylight."
_AGE = 25
# The display name of a persona whose own name breaks a ban.
_OTHER_NAME = "Alex"
# A word of a prompt, and what makes one a name that a LoRA was trained on: "ameg2", "Elise_XWMB".
_WORD = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_CODE = re.compile(r"[\d_]")
_MAX_TRIGGER_WORDS = 8

_PERSONA_TOML = """\
# A new persona: write here who is drawn. docs/personas.md of the project has all keys.
display_name = {name}
age = {age}
appearance = {appearance}
style = {style}
# The words on which the LoRA of the graph was trained:
trigger_words = {trigger_words}
# SD 1.5 and SDXL read 75 tokens, for which "tags" are better:
prompt_style = "sentences"
"""


class PersonaExists(ValueError):
    """There is a folder of this name already."""


@dataclass(frozen=True, kw_only=True)
class NewPersona:
    """A folder that was written, and what its persona.toml says of the graph.

    `name_fault` says why the folder's name is not the display name, None if it is. `trigger_words`
    are those of the graph's prompt; `needs_trigger_words`: none was found, and the graph has a LoRA.
    """

    folder: Path
    display_name: str
    name_fault: str | None
    trigger_words: tuple[str, ...]
    needs_trigger_words: bool


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


def write_persona(directory: Path, name: str, graph: Graph) -> NewPersona:
    """Write the folder of a persona with this graph.

    persona.toml describes nobody in particular, so that it is for the artist to write; the graph is
    written as ComfyUI exports it, with nothing of its file but the nodes.

    Raises:
        PersonaExists: there is such a file or folder.
        OSError: it cannot be written.
    """
    folder = directory / name
    name_fault = fault_of_label(name.capitalize())
    trigger_words = _trigger_words(graph, folder / "persona.toml") if has_lora(graph) else ()
    persona = NewPersona(
        folder=folder,
        display_name=name.capitalize() if name_fault is None else _OTHER_NAME,
        name_fault=name_fault,
        trigger_words=trigger_words,
        needs_trigger_words=has_lora(graph) and not trigger_words,
    )
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise PersonaExists(f"{folder} exists") from error
    nodes = {node.id: node.posted() for node in graph.nodes.values()}
    text = json.dumps(nodes, indent=2, ensure_ascii=False)
    (folder / "workflow.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "persona.toml").write_text(_persona_toml(persona), encoding="utf-8")
    return persona


def _trigger_words(graph: Graph, toml: Path) -> tuple[str, ...]:
    """Return the words before the first comma of the graph's prompt that no dictionary has."""
    try:
        places = find_inputs(graph, NodeRoles(), toml=toml).inputs.texts
    except WorkflowFault:  # which the check of the folder reports
        return ()
    texts = [graph.nodes[place.node].inputs[place.input] for place in sorted(places)]
    phrases = [
        text.partition(",")[0]
        for text in texts
        if isinstance(text, str) and not has_placeholder(text)
    ]
    words = dict.fromkeys(word for phrase in phrases for word in _WORD.findall(phrase))
    return tuple(filter(_is_trigger_word, words))[:_MAX_TRIGGER_WORDS]


def _is_trigger_word(word: str) -> bool:
    parts = word.lower().split("-")
    is_no_english = _CODE.search(word) is not None or not all(map(is_english, filter(None, parts)))
    return is_no_english and fault_of_label(word) is None


def _persona_toml(persona: NewPersona) -> str:
    return _PERSONA_TOML.format(
        name=_quoted(persona.display_name),
        age=_AGE,
        appearance=_quoted(_APPEARANCE.format(name=persona.display_name)),
        style=_quoted(_STYLE),
        trigger_words=json.dumps(persona.trigger_words, ensure_ascii=False),
    )


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML too.
    return json.dumps(text, ensure_ascii=False)
