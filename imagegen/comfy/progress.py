"""How far a picture is: events of one prompt → a share from 0 to 1; pure."""

from collections.abc import Mapping
from typing import Any

from imagegen.comfy.events import Cached, Event, NodeProgress

# Nearly all of a picture's time goes into its sampler.
_SAMPLER_WEIGHT = 20.0


class Progress:
    """Adds up what the nodes of one graph report; never runs backwards."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._weights = {
            node: _SAMPLER_WEIGHT if "Sampler" in entry["class_type"] else 1.0
            for node, entry in graph.items()
        }
        self._shares = dict.fromkeys(graph, 0.0)

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1."""
        done = sum(self._weights[node] * share for node, share in self._shares.items())
        return done / sum(self._weights.values())

    def note(self, event: Event) -> None:
        """Take in an event of this prompt; events of other kinds change nothing."""
        match event:
            case Cached(nodes=nodes):
                self._raise(dict.fromkeys(nodes, 1.0))
            case NodeProgress(nodes=shares):
                self._raise(shares)
            case _:
                pass

    def _raise(self, shares: Mapping[str, float]) -> None:
        for node, share in shares.items():
            if node in self._shares:
                self._shares[node] = max(self._shares[node], share)
