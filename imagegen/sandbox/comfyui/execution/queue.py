"""The prompts of a host: pending, running and in the history."""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.execution.node_order import Graph

_MAX_HISTORY = 10_000


@dataclass(order=True)
class QueueItem:
    """One accepted prompt. The smallest number runs first, then the smallest prompt id."""

    number: float
    prompt_id: str
    arrival: int
    graph: Graph = field(compare=False)
    extra_data: dict[str, Any] = field(compare=False)
    outputs: list[str] = field(compare=False)

    @property
    def client_id(self) -> Any:
        return self.extra_data.get("client_id")

    def as_json(self) -> list[Any]:
        """Return the entry of GET /queue, also the `prompt` of a history entry."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


@dataclass(frozen=True, kw_only=True)
class PromptOutcome:
    """How a prompt ended: its outputs by node, and the events that were sent for it.

    `origins` names for each output the node that made it: a cached one may have run under
    another id.
    """

    succeeded: bool
    messages: list[tuple[str, dict[str, Any]]]
    outputs: dict[str, Any]
    origins: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the history entry without its `prompt`."""
        return {
            "outputs": self.outputs,
            "status": {
                "status_str": "success" if self.succeeded else "error",
                "completed": self.succeeded,
                "messages": [[event, data] for event, data in self.messages],
            },
            "meta": {node: _meta(origin) for node, origin in self.origins.items()},
        }


class PromptQueue:
    """Runs prompts in the order of their numbers, one at a time.

    `announce` is called after every change. `newest` is the id of the prompt queued last.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce
        self._arrivals = 0
        self.newest: str = ""
        self._grew = asyncio.Event()
        self.pending: list[QueueItem] = []
        self.running: QueueItem | None = None
        self.history: dict[str, dict[str, Any]] = {}

    @property
    def remaining(self) -> int:
        """The number of pending prompts and the running one."""
        return len(self.pending) + (self.running is not None)

    def is_running(self, prompt_id: str) -> bool:
        return self.running is not None and self.running.prompt_id == prompt_id

    def put(
        self,
        number: float,
        prompt_id: str,
        graph: Graph,
        extra_data: dict[str, Any],
        outputs: list[str],
    ) -> QueueItem:
        """Queue a prompt."""
        self._arrivals += 1
        self.newest = prompt_id
        item = QueueItem(number, prompt_id, self._arrivals, graph, extra_data, outputs)
        heapq.heappush(self.pending, item)
        self._grew.set()
        self._announce()
        return item

    async def wait_for_prompt(self) -> None:
        """Return when at least one prompt is pending."""
        while not self.pending:
            self._grew.clear()
            await self._grew.wait()

    def take(self) -> QueueItem:
        """Make the next pending prompt the running one; call `wait_for_prompt` before."""
        self.running = heapq.heappop(self.pending)
        self._announce()
        return self.running

    def finish(self, item: QueueItem, outcome: PromptOutcome) -> None:
        """Move the running prompt into the history, which keeps the last 10 000 entries.

        A second prompt with the same id replaces the entry of the first, at the same position.
        """
        self.running = None
        self.history[item.prompt_id] = {"prompt": item.as_json(), **outcome.as_json()}
        if len(self.history) > _MAX_HISTORY:
            self.history.pop(next(iter(self.history)))
        self._announce()

    def delete(self, prompt_id: str) -> bool:
        """Remove one pending prompt with that id, the first of several; False if there is none."""
        for item in self.pending:
            if item.prompt_id == prompt_id:
                self.pending.remove(item)
                heapq.heapify(self.pending)
                self._announce()
                return True
        return False

    def clear(self) -> None:
        """Remove all pending prompts."""
        self.pending.clear()
        self._announce()

    def delete_history(self, prompt_ids: Iterable[str]) -> None:
        """Delete entries of the history; unknown ids are ignored."""
        for prompt_id in prompt_ids:
            self.history.pop(prompt_id, None)


def _meta(node: str) -> dict[str, Any]:
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
