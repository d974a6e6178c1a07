"""Hearsay: what the feed has told of one prompt so far."""

from collections.abc import Callable

from imagegen.comfy import events
from imagegen.comfy.events import Event, Preview
from imagegen.comfy.order import Order
from imagegen.comfy.patience import Patience
from imagegen.comfy.progress import Progress

_END = events.Succeeded | events.Ended | events.Failed | events.Interrupted


class Hearsay:
    """Takes the frames of a prompt in, and tells whoever ordered it how far it is."""

    def __init__(self, order: Order, patience: Patience, clock: Callable[[], float]) -> None:
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

    def take(self, event: Event) -> bool:
        """Take an event in; return whether it says that the prompt is over."""
        match event:
            case events.QueueChanged(remaining=0):
                # The host has nothing left, so nothing of ours: deleted, or over and not heard.
                self._patience.hint()
            case events.NodeStarted(prompt_id=None):
                self._arrive(event.node)
                self._progress.note(event)
            case Preview(prompt_id=None) if self._started_at is not None:
                self._see(event)
            case _ if getattr(event, "prompt_id", None) == self._order.prompt_id:
                self._patience.hear()
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
                self._patience.start()
                self._started_at = self._started_at or self._clock()
            case events.NodeStarted():
                self._node = event.node
            case Preview():
                self._see(event)
            case _:
                pass
        self._progress.note(event)
        self._order.on_progress(self._progress.share)

    def _arrive(self, node: str) -> None:
        # What a socket is greeted with in the middle of its prompt; it may be deaf from then on.
        self._patience.start()
        if node != self._node:
            self._patience.move()
            self._node = node

    def _see(self, preview: Preview) -> None:
        self._patience.move()
        is_ordered = (preview.node or self._node) == self._order.node
        if is_ordered and self._order.comes_through_socket:
            self.pictures.append(preview.image)
        elif self._order.on_preview is not None:
            self._order.on_preview(preview)
