"""How far a prompt is: its events become a share from 0 to 1, previews and images."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from imagegen.comfy import events, history
from imagegen.comfy.events import (
    Cached,
    Event,
    NodeDone,
    NodeProgress,
    NodeStarted,
    Preview,
    Succeeded,
)
from imagegen.comfy.prompt_job import PromptJob
from imagegen.comfy.timeouts import PromptDeadlines
from imagegen.image_file import MAX_BYTES

# The weight of a node is its time in sampler steps, as Z-Image Turbo takes on an RTX 4090 with its
# models loaded: eight steps in about 3 s, text encoder and VAE in under half a second each. Loaders
# weigh little more: most of the reading is done by the node that first uses the model, and loaders
# rarely run.
_DEFAULT_STEPS = 8.0
_MAX_STEPS = 100.0
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
_OTHER_WEIGHT = 0.05
# The largest share until the host says that the prompt has ended.
_MAX_BEFORE_END = 0.99

_END = events.Succeeded | events.Ended | events.Failed | events.Interrupted


class Progress:
    """The share of one graph's work that is done; it never falls, and is 1 only at the end.

    Nodes that the host has in its cache count nothing. A node that runs, has run or has a result
    proves that all nodes upstream of it are done, even if their events were lost.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._weights = {node: _weight(entry) for node, entry in graph.items()}
        self._upstream = {node: _links(entry, graph) for node, entry in graph.items()}
        self._shares = dict.fromkeys(graph, 0.0)
        self._running: str | None = None
        self._share = 0.0

    @property
    def share(self) -> float:
        """The share that is done, from 0 to 1."""
        return self._share

    def note(self, event: Event) -> None:
        """Take in an event of this prompt; kinds that say nothing of progress are ignored."""
        match event:
            case Cached(nodes=nodes):
                self._weights.update((node, 0.0) for node in nodes if node in self._weights)
            case NodeStarted(node=node):
                self._start(node)
            case NodeProgress(nodes=shares):
                self._raise_shares(shares)
            case NodeDone(node=node):
                self._raise_shares({node: 1.0})
            case Succeeded():
                self._share = 1.0
            case _:
                pass
        self._share = max(self._share, self._done_share())

    def _start(self, node: str) -> None:
        if self._running not in (None, node):
            # A host runs one node at a time, so the one before has ended.
            self._raise_shares({str(self._running): 1.0})
        self._running = node
        self._raise_shares({node: 0.0})

    def _raise_shares(self, shares: Mapping[str, float]) -> None:
        for node, share in shares.items():
            if node in self._shares:
                self._shares[node] = max(self._shares[node], share)
                self._finish(self._upstream[node])

    def _finish(self, nodes: Iterable[str]) -> None:
        unvisited = list(nodes)
        while unvisited:
            node = unvisited.pop()
            if self._shares[node] < 1.0:
                self._shares[node] = 1.0
                unvisited += self._upstream[node]

    def _done_share(self) -> float:
        done = sum(self._weights[node] * share for node, share in self._shares.items())
        return min(done / (sum(self._weights.values()) or 1.0), _MAX_BEFORE_END)


class PromptTracker:
    """Takes in the events of a prompt, sets its deadlines and reports progress to its PromptJob.

    `images` are those that a SaveImageWebsocket node has sent, as bytes; what is more than 50 MiB
    together is dropped.
    """

    def __init__(
        self, job: PromptJob, deadlines: PromptDeadlines, clock: Callable[[], float]
    ) -> None:
        self.images: list[bytes] = []
        self._job = job
        self._deadlines = deadlines
        self._clock = clock
        self._progress = Progress(job.graph)
        self._samplers = {node for node, entry in job.graph.items() if _is_sampler(entry)}
        self._node: str | None = None
        self._started_at: float | None = None
        self._first_step_at: float | None = None

    @property
    def started_at(self) -> float | None:
        """When the host has started the prompt, on `clock`; None if its start event was missed."""
        return self._started_at

    @property
    def first_step_at(self) -> float | None:
        """When the first step of a sampler was done: all models are loaded by then. None as above."""
        return self._first_step_at

    @property
    def loading_s(self) -> float | None:
        """How long the first step of a sampler took to come; None if one of the events was missed."""
        if self._started_at is None or self._first_step_at is None:
            return None
        return self._first_step_at - self._started_at

    @property
    def seconds(self) -> float | None:
        """How long the host has worked on the prompt; None if its start event was missed."""
        return None if self._started_at is None else self._clock() - self._started_at

    def receive(self, event: Event) -> bool:
        """Take in an event; return whether it says that the prompt has ended."""
        match event:
            case events.QueueChanged():
                self._job.on_queue(event.remaining)
                if event.remaining == 0:
                    # The host has no prompt, so ours was deleted, or its end event was missed.
                    self._deadlines.end_suspected()
            case events.GpusTold():
                self._job.on_gpus(event.utilisation)
            case events.NodeStarted(prompt_id=None):
                self._enter_node(event.node)
                self._progress.note(event)
            case Preview(prompt_id=None) if self._started_at is not None:
                self._keep_preview(event)
            case _ if getattr(event, "prompt_id", None) == self._job.prompt_id:
                self._deadlines.event_received()
                self._note(event)
                return isinstance(event, _END)
            case _:
                pass
        return False

    def begin(self) -> None:
        """Note that the host draws the prompt; only the first call counts."""
        if not self._deadlines.has_begun:
            is_warm = not self._samplers or self._job.are_models_loaded()
            self._deadlines.begun(is_warm=is_warm)
            self._job.on_begin()

    def end(self) -> None:
        """Note that the history has confirmed the end."""
        self._job.on_progress(1.0)

    def _note(self, event: Event) -> None:
        match event:
            case events.Started():
                self.begin()
                self._started_at = self._started_at or self._clock()
            case events.NodeStarted():
                self._node = event.node
            case NodeDone(node=node, output=output) if node == self._job.node:
                # An output of another form is told of when the history is read.
                with suppress(KeyError, TypeError, AttributeError):
                    self._job.on_images(history.images_of(output))
            case NodeProgress(nodes=shares) if any(shares.get(n, 0) > 0 for n in self._samplers):
                self._start_sampling()
            case Cached(nodes=nodes) if self._samplers <= nodes:
                self._start_sampling()
            case Preview():
                self._keep_preview(event)
            case _:
                pass
        self._progress.note(event)
        self._job.on_progress(self._progress.share)

    def _start_sampling(self) -> None:
        self._deadlines.sampling_started()
        self._first_step_at = self._first_step_at or self._clock()

    def _enter_node(self, node: str) -> None:
        # The host sends this event without a prompt id when a websocket is opened while a prompt
        # runs. It does not prove that further events will arrive.
        self.begin()
        if node != self._node:
            self._deadlines.progress_made()
            self._node = node

    def _keep_preview(self, preview: Preview) -> None:
        self._start_sampling()
        self._deadlines.progress_made()
        is_of_output_node = (preview.node or self._node) == self._job.node
        if is_of_output_node and self._job.sends_images:
            if sum(map(len, self.images)) + len(preview.image) <= MAX_BYTES:
                self.images.append(preview.image)
        elif self._job.on_preview is not None:
            self._job.on_preview(preview)


def _is_sampler(entry: Mapping[str, Any]) -> bool:
    return "latent_image" in (entry.get("inputs") or {})


def _weight(entry: Mapping[str, Any]) -> float:
    inputs = entry.get("inputs") or {}
    if _is_sampler(entry):
        return _steps(inputs.get("steps"))
    kind = str(entry.get("class_type", ""))
    return next((weight for part, weight in _WEIGHTS if part in kind), _OTHER_WEIGHT)


def _steps(steps: Any) -> float:
    if not isinstance(steps, int | float):
        return _DEFAULT_STEPS
    return min(max(float(steps), 1.0), _MAX_STEPS)


def _links(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> tuple[str, ...]:
    values = (entry.get("inputs") or {}).values()
    links = (value[0] for value in values if isinstance(value, list) and value)
    return tuple(node for node in links if isinstance(node, str) and node in graph)
