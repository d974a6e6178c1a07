"""How far a prompt is, from its events: a share from 0 to 1, and what the feed has told so far."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imagegen.comfy import events
from imagegen.comfy.events import (
    Cached,
    Event,
    NodeDone,
    NodeProgress,
    NodeStarted,
    Preview,
    Succeeded,
)
from imagegen.comfy.prompt import PromptJob
from imagegen.comfy.timeouts import PromptDeadlines

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


_END = events.Succeeded | events.Ended | events.Failed | events.Interrupted


class PromptTracker:
    """Takes the frames of a prompt in, and tells whoever ordered it how far it is."""

    def __init__(
        self, order: PromptJob, patience: PromptDeadlines, clock: Callable[[], float]
    ) -> None:
        self.pictures: list[bytes] = []
        self._order = order
        self._patience = patience
        self._clock = clock
        self._progress = Progress(order.graph)
        self._node: str | None = None
        self._started_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long the host has worked on the prompt; None if its start was not heard."""
        return None if self._started_at is None else self._clock() - self._started_at

    def receive(self, event: Event) -> bool:
        """Take an event in; return whether it says that the prompt is over."""
        match event:
            case events.QueueChanged(remaining=0):
                # The host has nothing left, so nothing of ours: deleted, or over and not heard.
                self._patience.end_suspected()
            case events.NodeStarted(prompt_id=None):
                self._enter_node(event.node)
                self._progress.note(event)
            case Preview(prompt_id=None) if self._started_at is not None:
                self._keep_preview(event)
            case _ if getattr(event, "prompt_id", None) == self._order.prompt_id:
                self._patience.event_received()
                self._note(event)
                return isinstance(event, _END)
            case _:
                pass
        return False

    def end(self) -> None:
        """Note that the end is confirmed."""
        self._order.on_progress(1.0)

    def _note(self, event: Event) -> None:
        match event:
            case events.Started():
                self._patience.drawing_started()
                self._started_at = self._started_at or self._clock()
            case events.NodeStarted():
                self._node = event.node
            case Preview():
                self._keep_preview(event)
            case _:
                pass
        self._progress.note(event)
        self._order.on_progress(self._progress.share)

    def _enter_node(self, node: str) -> None:
        # What a socket is greeted with in the middle of its prompt; it may be deaf from then on.
        self._patience.drawing_started()
        if node != self._node:
            self._patience.progress_made()
            self._node = node

    def _keep_preview(self, preview: Preview) -> None:
        self._patience.progress_made()
        is_ordered = (preview.node or self._node) == self._order.node
        if is_ordered and self._order.comes_through_socket:
            self.pictures.append(preview.image)
        elif self._order.on_preview is not None:
            self._order.on_preview(preview)
