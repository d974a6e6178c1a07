"""Finds the texts of a graph that are drawn, and tells which of them the prompt replaces; pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from imagegen.workflows.graph import Graph, Link, Node
from imagegen.workflows.graph_search import (
    IMAGE_INPUTS,
    NodeInput,
    active_links,
    first_of,
    is_number,
    is_sampler,
    links_starting_with,
    seed_inputs,
)
from imagegen.workflows.model_files import is_model_file

# Inputs in which encoders and text nodes have a prompt: `text`, `t5xxl`, `clip_l`, `string_a`, …
_PROMPT_NAME = re.compile(
    r"text|prompt|string|positive|wildcard|caption|sentence|words|t5|llama|bert|qwen|gemma"
    r"|^clip_?[lgh]$",
    re.IGNORECASE,
)
# Inputs with such a name that have something else.
_OTHER_NAME = re.compile(
    r"neg|system|style|mode|format|template|delimiter|separator|encoder|embed|context|_name$"
    r"|file|path|size|width|font|colou?r|language|model|type|log|override|interp|norm"
    r"|select|parser|option|enhance|upsampl|trigger",
    re.IGNORECASE,
)
# Inputs into which a link is a text, whatever node it comes from.
_TEXT_LINK = re.compile(
    r"text(?:_[gl]|_?positive|\d*|_[a-z])?|prompt|(?:user|positive|populated)_(?:prompt|text)"
    r"|clip_[lgh]|t5xxl|llama|string(?:_[a-z]|\d*)?|positive_text",
    re.IGNORECASE,
)
# Inputs in which a node shows what it was given last.
_SHOWN = re.compile(r"(.+?)_?\d+")
# Inputs in which a text node has words that it adds to those of another one.
_ADDED_NAME = re.compile(r"prefix|suffix|prepend|append|before|after", re.IGNORECASE)
# Inputs in which a text node has the one text that it passes on, most likely first.
_PASSED_ON = ("value", "text", "string", "prompt")
# A node with one of these inputs is no text node: it is a language model, chance, or no text at all.
_WRITERS = frozenset(
    {*IMAGE_INPUTS, "model", "url", "api_key", "clip", "seed", "noise_seed", "temperature"}
    | {"vae", "pixels", "latent", "samples", "conditioning", "positive", "cond"}
)
# Numbers that a node which only joins texts may have.
_COUNTS = re.compile(r"count|index|select|max_|min_", re.IGNORECASE)
# Links that never lead to a conditioning.
_NO_CONDITIONING = re.compile(
    r"negative|^model|^vae|^clip|^image|pixels|mask|^latent|samples|control_net|width|height"
    r"|seed|noise|sigmas|^sampler|^steps$|^cfg$|denoise|strength|upscale|bbox|segm|sam_",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_PROSE = re.compile(r"[^\W\d_]{2,}[\s,;.]+[^\W\d_]{2,}")


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A node that takes prompts: the places of the words of each of its inputs, by input."""

    node: Node
    places: dict[str, frozenset[NodeInput]]

    @property
    def all_places(self) -> frozenset[NodeInput]:
        """The places of all its words."""
        return frozenset().union(*self.places.values())


@dataclass(frozen=True, kw_only=True)
class DrawnTexts:
    """The texts that lead to a picture; `path` is the set of nodes upstream of it."""

    graph: Graph
    path: frozenset[str]

    def samplers(self) -> list[Node]:
        """Return the samplers of the picture that work on the output of no other one.

        Where no node has the links of a sampler, they are the nodes with a seed that lead to a text.
        """
        nodes = [self.graph.nodes[each] for each in self.path]
        found = [node for node in nodes if is_sampler(node)] or [
            node for node in nodes if seed_inputs(node) and self.encoders_of(node)
        ]
        return first_of(self.graph, found)

    def encoders_of(self, sampler: Node) -> list[Encoder]:
        """Return the encoders from which a sampler gets what it draws."""
        if sampler.link("positive", "guider") is None and prompt_inputs(self.graph, sampler):
            return [self._encoder(sampler)]
        return self._encoders(_prompt_links(sampler))

    def encoders(self) -> list[Encoder]:
        """Return the encoders from which any sampler or detailer of the picture gets what it draws."""
        nodes = [self.graph.nodes[each] for each in self.path]
        starts = [link for node in nodes if (link := node.link("positive", "guider")) is not None]
        found = {each.node.id: each for each in self._encoders(starts)}
        for sampler in self.samplers():
            found |= {each.node.id: each for each in self.encoders_of(sampler)}
        # A detailer has words of its own beside the conditioning.
        for node in nodes:
            if node.id not in found and node.links.get("positive") and _own_words(node):
                found[node.id] = self._encoder(node)
        return list(found.values())

    def words(self, place: NodeInput) -> str:
        """Return the words that stand in a place; empty if they come from another node."""
        value = self.graph.nodes[place.node].inputs.get(place.input)
        return " ".join(value.split()) if isinstance(value, str) else ""

    @property
    def places(self) -> frozenset[NodeInput]:
        """The places of all words that are drawn."""
        return frozenset().union(*(each.all_places for each in self.encoders()))

    def has_words(self, place: NodeInput) -> bool:
        """Whether words stand in a place, or another node writes some there."""
        return bool(_WORD.search(self.words(place))) or self._is_written(place)

    def written_among(self, places: Iterable[NodeInput]) -> frozenset[NodeInput]:
        """Return the places into which another node writes."""
        return frozenset(place for place in places if self._is_written(place))

    def copies(self, texts: Iterable[NodeInput]) -> frozenset[NodeInput]:
        """Return the other places on the path with the same words as one of `texts`.

        The editor writes the text of a primitive into each node that it is linked to.
        """
        words = {self.words(text) for text in texts}
        return frozenset(
            place
            for place in self._literals()
            if (found := self.words(place)) in words and _PROSE.search(found)
        )

    def written(self, texts: frozenset[NodeInput]) -> frozenset[NodeInput]:
        """Return the places beside `texts` into which another node writes what is drawn."""
        return self.written_among(self._beside(texts))

    def left_over(self, texts: frozenset[NodeInput]) -> frozenset[NodeInput]:
        """Return the places whose words would be drawn beside the prompt that goes into `texts`."""
        return frozenset(place for place in self._beside(texts) if _WORD.search(self.words(place)))

    def _beside(self, texts: frozenset[NodeInput]) -> frozenset[NodeInput]:
        cut = cut_links(self.graph, texts)
        drawn = DrawnTexts(graph=cut, path=cut.upstream(self._ends()))
        encoders = drawn.encoders()
        places = {place for each in encoders for place in each.all_places}
        places |= {place for each in encoders for place in drawn.added_to(each)}
        return frozenset(places - texts)

    def _is_written(self, place: NodeInput) -> bool:
        return isinstance(self.graph.nodes[place.node].inputs[place.input], Link)

    def added_to(self, encoder: Encoder) -> Iterator[NodeInput]:
        """Yield where nodes behind an encoder have words that they add to a text."""
        upstream = self._text_nodes(encoder.node)
        for node in upstream:
            for name, value in node.inputs.items():
                if isinstance(value, str) and _ADDED_NAME.search(name):
                    yield NodeInput(node=node.id, input=name)

    def places_of(self, node: Node, name: str) -> frozenset[NodeInput]:
        """Return where the words of an input stand: those with words if any has, else the first."""
        places = list(dict.fromkeys(self._places(node, name)))
        with_words = [each for each in places if self.has_words(each)]
        return frozenset(with_words or places[:1])

    def _ends(self) -> list[str]:
        sources = {
            link.node for each in self.path for link in self.graph.nodes[each].links.values()
        }
        return [each for each in self.path if each not in sources]

    def _literals(self) -> Iterator[NodeInput]:
        for node_id in self.path:
            for name, value in self.graph.nodes[node_id].inputs.items():
                if isinstance(value, str) and not re.search("neg", name, re.IGNORECASE):
                    yield NodeInput(node=node_id, input=name)

    def _encoders(self, starts: Iterable[Link]) -> list[Encoder]:
        found: dict[str, Encoder] = {}
        unvisited, seen = [link.node for link in starts], set[str]()
        while unvisited:
            node = self.graph.nodes[unvisited.pop()]
            if node.id in seen:
                continue
            seen.add(node.id)
            if prompt_inputs(self.graph, node):
                found[node.id] = self._encoder(node)
                # What it adds its text to.
                unvisited.extend(link.node for link in _conditionings(node))
            else:
                unvisited.extend(link.node for link in _prompt_links(node))
        return list(found.values())

    def _encoder(self, node: Node) -> Encoder:
        names = prompt_inputs(self.graph, node) or _own_words(node)
        return Encoder(node=node, places={name: self.places_of(node, name) for name in names})

    def _places(self, node: Node, name: str) -> Iterator[NodeInput]:
        value = node.inputs[name]
        if isinstance(value, Link):
            source = self.graph.nodes[value.node]
            passed_on = passed_on_inputs(source, name)
            if passed_on:
                for each in passed_on:
                    yield from self._places(source, each)
                return
        # The text of a node that writes it itself is replaced where it is used.
        yield NodeInput(node=node.id, input=name)

    def _text_nodes(self, encoder: Node) -> list[Node]:
        found = {encoder.id: encoder}
        unvisited = [(encoder, name) for name in prompt_inputs(self.graph, encoder)]
        while unvisited:
            node, name = unvisited.pop()
            value = node.inputs[name]
            if isinstance(value, Link) and value.node not in found:
                source = self.graph.nodes[value.node]
                found[source.id] = source
                unvisited.extend((source, each) for each in passed_on_inputs(source, name))
        return list(found.values())


def prompt_inputs(graph: Graph, node: Node) -> list[str]:
    """Return the names of the inputs that hold a prompt or a link to one."""
    return [name for name, value in node.inputs.items() if _is_prompt(graph, name, value)]


def is_text(graph: Graph, place: NodeInput) -> bool:
    """Whether an input holds a text for people, or a link to one: not a model, a number, an option."""
    value = graph.nodes[place.node].inputs[place.input]
    if isinstance(value, str) and _PROSE.search(value):
        return not is_model_file(place.input, value)
    return _is_prompt(graph, place.input, value)


def passed_on_inputs(node: Node, wanted: str) -> list[str]:
    """Return the inputs of a text node whose texts it passes on or joins.

    Empty for a node that is more than a text node, or none: a language model, a random choice.
    """
    if _is_no_text_node(node):
        return []
    literals = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
    links = active_links(node)
    if len(links) < len(node.links):  # a switch
        return list(links)
    by_name = [n for n in node.inputs if _may_be_prompt(n, node.inputs[n])]
    by_name = [n for n in by_name if not _shows_another(node, n)]
    positive = [n for n in by_name if re.search("positive", n, re.IGNORECASE)]
    if by_name:
        return positive or by_name
    texts = [n for n, value in literals.items() if isinstance(value, str)]
    known = [n for n in (wanted, *_PASSED_ON) if n in texts]
    return known[:1] or list(links) or [n for n in texts if len(node.inputs) == 1]


def _is_no_text_node(node: Node) -> bool:
    return any(
        # `positive` may be a text.
        (name in _WRITERS and (name != "positive" or isinstance(value, Link)))
        or (is_number(value, (int, float)) and not _COUNTS.search(name))
        for name, value in node.inputs.items()
    )


def _shows_another(node: Node, name: str) -> bool:
    shown = _SHOWN.fullmatch(name)
    return shown is not None and shown[1] in node.inputs


def cut_links(graph: Graph, texts: Iterable[NodeInput]) -> Graph:
    """Return the graph with an empty text in place of each link into one of `texts`."""
    inputs: dict[str, dict[str, Any]] = {}
    for text in texts:
        if isinstance(graph.nodes[text.node].inputs[text.input], Link):
            inputs.setdefault(text.node, {})[text.input] = ""
    return graph.with_values(inputs)


def _is_prompt(graph: Graph, name: str, value: Any) -> bool:
    if not _may_be_prompt(name, value):
        return False
    if not isinstance(value, Link) or _TEXT_LINK.fullmatch(name):
        return True
    # Most links into `positive` are conditionings, and those into `t5` are models.
    source = graph.nodes[value.node]
    return any(isinstance(source.inputs[n], str) for n in passed_on_inputs(source, name))


def _may_be_prompt(name: str, value: Any) -> bool:
    if not isinstance(value, str | Link) or not _PROMPT_NAME.search(name):
        return False
    if _OTHER_NAME.search(name) or _ADDED_NAME.search(name):
        return False
    return isinstance(value, Link) or not is_model_file(name, value)


def _own_words(node: Node) -> list[str]:
    return [
        name
        for name, value in node.inputs.items()
        if isinstance(value, str) and _may_be_prompt(name, value) and _WORD.search(value)
    ]


def _conditionings(node: Node) -> list[Link]:
    positive = node.link("positive")
    return links_starting_with(node, "cond") + ([] if positive is None else [positive])


def _prompt_links(node: Node) -> list[Link]:
    """Return the links that lead from a sampler or a conditioning towards the prompt text."""
    # A node with a positive and a negative branch (CFGGuider, ControlNet) names them.
    if (named := node.link("positive", "guider")) is not None:
        return [named]
    return _conditionings(node) or [
        link for name, link in active_links(node).items() if not _NO_CONDITIONING.search(name)
    ]
