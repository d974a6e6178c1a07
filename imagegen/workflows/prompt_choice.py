"""Chooses the places of the prompt among the texts that are drawn; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.graph import Node
from imagegen.workflows.graph_search import NodeInput
from imagegen.workflows.persona import NodeRoles, Place
from imagegen.workflows.prompt_texts import DrawnTexts, Encoder, is_text, prompt_inputs
from imagegen.workflows.role_lookup import RoleLookup

_MAX_QUOTED = 60


@dataclass(frozen=True, kw_only=True)
class PromptChoice:
    """One choice in one graph; `drawn` are its texts, and `samplers` those of the picture."""

    nodes: NodeRoles
    lookup: RoleLookup
    drawn: DrawnTexts
    samplers: Sequence[Node]

    def texts(self) -> frozenset[NodeInput]:
        """Return all places of the prompt.

        Raises:
            WorkflowFault: there is none, several could be it, or words would be drawn beside it.
        """
        texts = self._named_texts() if self.nodes.text else self._likely_texts()
        texts |= self.drawn.copies(texts) - self._kept
        # What another node would write there, a language model or chance, no screen would see.
        texts |= self.drawn.written(texts)
        left = self.drawn.left_over(texts) - self._kept
        if left:
            raise self._fault_of_words(left)
        return texts

    def _named_texts(self) -> frozenset[NodeInput]:
        return frozenset(
            place for named in self.nodes.text for place in self._places_of_text(named)
        )

    def _places_of_text(self, named: Place) -> frozenset[NodeInput]:
        node = self.lookup.on_path(self.drawn.path, named, "text")
        if isinstance(named, str):
            names = prompt_inputs(self.drawn.graph, node) or [
                name
                for name in node.inputs
                if is_text(self.drawn.graph, NodeInput(node=node.id, input=name))
            ]
        else:
            names = [named.input] if named.input in node.inputs else []
        if not names:
            raise self.lookup.fault_of_input(node, named, "text")
        for name in names:
            place = NodeInput(node=node.id, input=name)
            if place not in self.drawn.places and not is_text(self.drawn.graph, place):
                raise WorkflowFault(
                    self.lookup.toml, "nodes.text: is not a text", node=str(node), input_name=name
                )
        return frozenset().union(*(self.drawn.places_of(node, name) for name in names))

    def _likely_texts(self) -> frozenset[NodeInput]:
        found = {e.node.id: e for s in self.samplers for e in self.drawn.encoders_of(s)}
        encoders = [e for e in found.values() if not e.all_places <= self._kept]
        if not encoders:
            sampler = self.samplers[0]
            raise self.drawn.graph.fault(
                'leads to no text; name the node that takes the prompt with text = "…" under'
                f" [nodes] in {self.lookup.toml.name}",
                node=sampler,
                input_name=next(iter({"positive", "guider"} & set(sampler.inputs)), None),
            )
        with_words = [each for each in encoders if self._words_of(each)]
        encoders = with_words or encoders[:1] if len(encoders) > 1 else encoders
        for encoder in encoders:
            for places in encoder.places.values():
                self._expect_one_text(places - self._kept)
        if len({self._words_of(each) for each in encoders}) > 1:
            self._expect_one_text(frozenset().union(*(e.all_places for e in encoders)) - self._kept)
        return frozenset().union(*(each.all_places for each in encoders)) - self._kept

    def _words_of(self, encoder: Encoder) -> frozenset[str]:
        return frozenset(
            self.drawn.words(place) or str(place)
            for place in encoder.all_places
            if self.drawn.has_words(place)
        )

    def _expect_one_text(self, places: frozenset[NodeInput]) -> None:
        written = self.drawn.written_among(places)
        if len({self.drawn.words(place) for place in places - written}) + len(written) > 1:
            raise self.lookup.fault_of_several(places, "text")

    @cached_property
    def _kept(self) -> frozenset[NodeInput]:
        kept = set()
        for named in self.nodes.keep:
            node = self.lookup.named(named, "keep")
            names = list(node.inputs) if isinstance(named, str) else [named.input]
            kept |= {NodeInput(node=node.id, input=name) for name in names}
        return frozenset(kept)

    def _fault_of_words(self, left: Iterable[NodeInput]) -> WorkflowFault:
        places = sorted(left)
        quoted = "; ".join(
            f"{self.drawn.graph.nodes[each.node]} input {each.input}:"
            f" {self.drawn.words(each)[:_MAX_QUOTED]!r}"
            for each in places
        )
        names = ", ".join(f'"{each}"' for each in dict.fromkeys(place.node for place in places))
        return self.drawn.graph.fault(
            f"words would be in every picture beside the prompt: {quoted};"
            f" keep them with keep = [{names}] under [nodes] in {self.lookup.toml.name},"
            f" or name them in text, so that the prompt replaces them"
        )
