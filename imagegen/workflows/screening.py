"""Screens the texts of a persona's files, since each of them reaches a host as it stands.

The texts of the graph and of persona.toml are in every picture of the persona, at any rating. Only the
prompt changes with each picture; it is screened when it is written.
"""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from imagegen.safety.clothing import is_bare
from imagegen.safety.known_words import has_placeholder, unknown_words
from imagegen.safety.rules import Finding, ScreenVerdict
from imagegen.safety.screen import shared_screen
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import NodeInput, is_sampler, number_sources
from imagegen.workflows.library import Library, PersonaFiles, Workflow, load_workflows
from imagegen.workflows.model_files import is_model_file, strings_in
from imagegen.workflows.persona import Persona

# Names of files and the like have no spaces. A text has them, or is in an input that is named so.
_PROSE = re.compile(r"[^\W\d_]{2,}[\s,;]+[^\W\d_]{2,}")
_TEXT_INPUT = re.compile(r"text|prompt|string|wildcard|positive|negative|style", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
# Brands of cameras and films are in no dictionary; a text of another language has more such words.
_MAX_UNKNOWN_NAMES = 0.25
_MAX_QUOTED = 60


def screened_workflows(directory: Path, own: Path | None = None) -> Library:
    """Load all personas as `load_workflows` does; a text that breaks a ban is a fault too.

    The fault names the file, the key or the node, and the sentence.

    Raises:
        WorkflowsMissing: a directory does not exist or holds no persona.
    """
    return load_workflows(directory, own, check=check_texts)


def check_texts(workflow: Workflow, files: PersonaFiles) -> None:
    """Return if no text of the persona.toml and of the graph breaks a ban.

    Raises:
        WorkflowFault: one does.
    """
    _check_persona(workflow.persona, files.toml)
    _check_graph(workflow, files)


def fault_of_label(label: str) -> str | None:
    """Return why a display name or a trigger word must not be in a persona.toml, None if it may."""
    finding = shared_screen().label(label)
    is_refused = finding.verdict is ScreenVerdict.REFUSED
    return f"breaks a ban ({finding.rule}): {_quoted(label)}" if is_refused else None


def _check_persona(persona: Persona, toml: Path) -> None:
    # A name may be a word as well: "Nina" is a girl in Spanish.
    name = re.compile(rf"\b{re.escape(persona.display_name)}\b")
    for key, text, is_dressed in _texts(persona):
        why = _fault_of_text(name.sub("She", text), known=persona.trigger_words)
        if why is None and not is_dressed(text):
            why = f"shows too little clothing: {_quoted(text)}"
        if why is not None:
            raise WorkflowFault(toml, f"{key}: {why}")
    for caption in (*persona.captions.ru, *persona.captions.en):
        finding = shared_screen().caption(caption)
        if finding.verdict is not ScreenVerdict.CLEAR:
            raise WorkflowFault(
                toml, f"captions: breaks a ban ({finding.rule}): {_quoted(caption)}"
            )
    for label in (persona.display_name, *persona.trigger_words):
        if (why := fault_of_label(label)) is not None:
            raise WorkflowFault(toml, why)


def _check_graph(workflow: Workflow, files: PersonaFiles) -> None:
    graph, prompts = workflow.graph, workflow.inputs.texts
    drawn = _drawn_nodes(graph, workflow.inputs.image)
    for node in graph.nodes.values():
        for name, text in _node_texts(node):
            # In these inputs the prompt is bound, so their own texts reach no host.
            if NodeInput(node=node.id, input=name) in prompts:
                continue
            if (why := _fault_of_input(name, text, is_drawn=node.id in drawn)) is not None:
                by_toml = files.config.inputs.get(node.id) or files.config.inputs.get(
                    node.title, {}
                )
                file = files.toml if name in by_toml else graph.file
                raise WorkflowFault(file, why, node=str(node), input_name=name)


def _texts(persona: Persona) -> Iterator[tuple[str, str, Callable[[str], bool]]]:
    """Yield key and text of persona.toml, and what says whether its clothing will do."""
    habits, wording = persona.habits, persona.wording
    yield "appearance", persona.appearance, _is_dressed
    yield "style", persona.style, _is_dressed
    for key, phrases in habits:
        will_do = _is_dressed if key == "evening_clothes" else _is_dressed_for_safe
        yield from ((f"habits.{key}", phrase, will_do) for phrase in phrases)
    for key, text in wording:
        if text is not None:
            yield f"wording.{key}", text, _CLOTHING[key]


def _is_dressed(text: str) -> bool:
    return not is_bare(text, is_safe=False)


def _is_dressed_for_safe(text: str) -> bool:
    return not is_bare(text, is_safe=True)


def _is_for_adults(_: str) -> bool:
    return True


_CLOTHING = {
    "safe": _is_dressed_for_safe,
    "suggestive": _is_dressed,
    "explicit": _is_for_adults,
}


def _node_texts(node: Node) -> Iterator[tuple[str, str]]:
    yield "title", node.title
    for name, value in node.inputs.items():
        yield from ((name, text) for text in strings_in(value))


def _fault_of_input(name: str, text: str, *, is_drawn: bool) -> str | None:
    is_text = bool(_PROSE.search(text) or _TEXT_INPUT.search(name))
    if name == "title" or is_model_file(name, text) or not is_text:
        return _ban(shared_screen().label(text), text)
    # It may name whatever is not to be drawn, but not adults.
    if not is_drawn:
        if shared_screen().keeps_adults_out(text):
            return f"a negative text must not name adults: {_quoted(text)}"
        return None
    if is_bare(text, is_safe=False):
        return f"shows too little clothing for a safe picture: {_quoted(text)}"
    return _fault_of_text(text)


def _fault_of_text(text: str, *, known: Collection[str] = ()) -> str | None:
    for sentence in dict.fromkeys((*_SENTENCE_END.split(text), text)):
        if (why := _ban(shared_screen().prompt(sentence), sentence)) is not None:
            return why
    if has_placeholder(text):
        return f"a host would fill in what the screen cannot read: {_quoted(text)}"
    if unread := _unread_words(text, known):
        return (
            f"has words that the screen cannot read: {', '.join(unread)[:_MAX_QUOTED]};"
            " write plain English or Russian"
        )
    return None


def _ban(finding: Finding, text: str) -> str | None:
    is_banned = finding.verdict is ScreenVerdict.REFUSED or finding.rule.startswith("minor")
    return f"breaks a ban ({finding.rule}): {_quoted(text)}" if is_banned else None


def _unread_words(text: str, known: Collection[str]) -> list[str]:
    """Return the unknown words of a text; not those with a capital if they are few."""
    unknown = unknown_words(text, besides=known)
    with_capital = [word for word in unknown if word[0].isupper()]
    if len(with_capital) <= max(1, _MAX_UNKNOWN_NAMES * len(text.split())):
        return [word for word in unknown if word not in with_capital]
    return unknown


def _drawn_nodes(graph: Graph, image: Link) -> frozenset[str]:
    """Return the nodes that lead to the picture, without those that only say what is not drawn."""
    seen: set[Link] = set()
    unvisited = [image]
    while unvisited:
        link = unvisited.pop()
        if link in seen:
            continue
        seen.add(link)
        node = graph.nodes[link.node]
        keeps_away = _keeps_negative_away(graph, node, link.slot)
        unvisited += [
            each for name, each in node.links.items() if not (keeps_away and name == "negative")
        ]
    return frozenset(link.node for link in seen)


def _keeps_negative_away(graph: Graph, node: Node, slot: int) -> bool:
    """Whether what is linked into `negative` is not drawn in this output of a node."""
    if node.link("positive") is None or not (is_sampler(node) or slot == 0):
        return False
    if "cfg" not in node.inputs:
        return True
    # Below 1 the negative text is added to the picture instead of kept out of it.
    cfg = NodeInput(node=node.id, input="cfg")
    sources = number_sources(graph, cfg, int) | number_sources(graph, cfg, float)
    return bool(sources) and all(graph.nodes[each.node].inputs[each.input] >= 1 for each in sources)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")
