"""How far a picture is: events of one prompt → a share from 0 to 1; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from imagegen.comfy.events import Cached, Event, NodeDone, NodeProgress, NodeStarted, Succeeded

# In sampler steps, from the times of Z-Image Turbo on a warm 4090: eight steps in about 3 s, text
# and VAE in under half a second each. Loaders count for little more: they leave most of the
# reading to the node that first uses the model, and rarely run.
_STEPS = 8.0
_MOST_STEPS = 100.0
_WEIGHTS = (
    ("TextEncode", 1.0),
    ("VAEDecode", 1.0),
    ("VAEEncode", 1.0),
    ("VAELoader", 0.3),
    ("Lora", 0.5),
    ("CLIPLoader", 2.0),
    ("UNETLoader", 3.0),
    ("UnetLoader", 3.0),
    ("CheckpointLoader", 5.0),
    ("Upscale", 1.0),
    ("SaveImage", 0.3),
    ("PreviewImage", 0.3),
)
_OTHER = 0.05
# All that can be known before the host says that it is done.
_ALMOST = 0.99


class Progress:
    """Adds up what the nodes of one graph report; never runs backwards, and is 1 at the end only.

    What the host has cached does not count at all. A node that runs, has run or has a result
    proves that all nodes before it are done, whatever was said of them or lost on the way.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._weights = {node: _weight(entry) for node, entry in graph.items()}
        self._before = {node: _links(entry, graph) for node, entry in graph.items()}
        self._shares = dict.fromkeys(graph, 0.0)
        self._running: str | None = None
        self._share = 0.0

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1."""
        return self._share

    def note(self, event: Event) -> None:
        """Take in an event of this prompt; events of other kinds change nothing."""
        match event:
            case Cached(nodes=nodes):
                self._weights.update((node, 0.0) for node in nodes if node in self._weights)
            case NodeStarted(node=node):
                self._start(node)
            case NodeProgress(nodes=shares):
                self._raise(shares)
            case NodeDone(node=node):
                self._raise({node: 1.0})
            case Succeeded():
                self._share = 1.0
            case _:
                pass
        self._share = max(self._share, self._done())

    def _start(self, node: str) -> None:
        if self._running not in (None, node):
            # A host runs one node at a time.
            self._raise({str(self._running): 1.0})
        self._running = node
        self._raise({node: 0.0})

    def _raise(self, shares: Mapping[str, float]) -> None:
        for node, share in shares.items():
            if node in self._shares:
                self._shares[node] = max(self._shares[node], share)
                self._finish(self._before[node])

    def _finish(self, nodes: Iterable[str]) -> None:
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if self._shares[node] < 1.0:
                self._shares[node] = 1.0
                waiting += self._before[node]

    def _done(self) -> float:
        done = sum(self._weights[node] * share for node, share in self._shares.items())
        return min(done / (sum(self._weights.values()) or 1.0), _ALMOST)


def _weight(entry: Mapping[str, Any]) -> float:
    inputs = entry.get("inputs") or {}
    if "latent_image" in inputs:
        return _steps(inputs.get("steps"))
    kind = str(entry.get("class_type", ""))
    return next((weight for part, weight in _WEIGHTS if part in kind), _OTHER)


def _steps(steps: Any) -> float:
    return min(max(float(steps), 1.0), _MOST_STEPS) if isinstance(steps, int | float) else _STEPS


def _links(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> tuple[str, ...]:
    values = (entry.get("inputs") or {}).values()
    links = (value[0] for value in values if isinstance(value, list) and value)
    return tuple(node for node in links if isinstance(node, str) and node in graph)
