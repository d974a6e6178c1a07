"""The prompts of a host: waiting, running and over."""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.execution.node_order import Graph

_MAX_HISTORY = 10_000


@dataclass(order=True)
class QueueItem:
    """One accepted prompt. The smallest number runs first, then the smallest id."""

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
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


@dataclass(frozen=True, kw_only=True)
class PromptOutcome:
    """How a prompt ended: what its nodes put out, and the messages that tell the story.

    `origins` names for each output the node that made it: a cached one may have had another id.
    """

    succeeded: bool
    messages: list[tuple[str, dict[str, Any]]]
    outputs: dict[str, Any]
    origins: dict[str, str]

    def as_json(self) -> dict[str, Any]:
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
    """First come, first served, one at a time; every change is announced."""

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
        """Take a prompt in."""
        self._arrivals += 1
        self.newest = prompt_id
        item = QueueItem(number, prompt_id, self._arrivals, graph, extra_data, outputs)
        heapq.heappush(self.pending, item)
        self._grew.set()
        self._announce()
        return item

    async def wait_for_prompt(self) -> None:
        """Return once a prompt waits."""
        while not self.pending:
            self._grew.clear()
            await self._grew.wait()

    def take(self) -> QueueItem:
        """Make the next prompt the running one; there is one, see `waits`."""
        self.running = heapq.heappop(self.pending)
        self._announce()
        return self.running

    def finish(self, item: QueueItem, outcome: PromptOutcome) -> None:
        """Put the running prompt into the history: the last one of an id, in the first one's place."""
        self.running = None
        self.history[item.prompt_id] = {"prompt": item.as_json(), **outcome.as_json()}
        if len(self.history) > _MAX_HISTORY:
            self.history.pop(next(iter(self.history)))
        self._announce()

    def delete(self, prompt_id: str) -> bool:
        """Drop one waiting prompt of that id; of several, one."""
        for item in self.pending:
            if item.prompt_id == prompt_id:
                self.pending.remove(item)
                heapq.heapify(self.pending)
                self._announce()
                return True
        return False

    def clear(self) -> None:
        """Drop all waiting prompts."""
        self.pending.clear()
        self._announce()

    def forget(self, prompt_ids: Iterable[str]) -> None:
        """Drop entries of the history."""
        for prompt_id in prompt_ids:
            self.history.pop(prompt_id, None)


def _meta(node: str) -> dict[str, Any]:
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
