"""The one executor of a host: it draws the queue's prompts one at a time."""

import posixpath
import time
from dataclasses import dataclass, replace
from typing import Any

import structlog

from imagegen.sandbox.comfyui.execution.cache import NodeCache
from imagegen.sandbox.comfyui.execution.node_context import HostContext
from imagegen.sandbox.comfyui.execution.node_definitions import NodeDefinitions
from imagegen.sandbox.comfyui.execution.prompt_run import PromptRun
from imagegen.sandbox.comfyui.execution.queue import PromptOutcome, PromptQueue, QueueItem
from imagegen.sandbox.comfyui.execution.sampler_nodes import WORKING_NODES
from imagegen.sandbox.comfyui.faults.interrupts import Interrupt
from imagegen.sandbox.comfyui.faults.prompt_faults import PromptFaults
from imagegen.sandbox.comfyui.versions import Version
from imagegen.sandbox.comfyui.websocket.feed import WebSocketFeed


async def draw_beforehand(
    item: QueueItem,
    *,
    definitions: NodeDefinitions,
    cache: NodeCache,
    surroundings: HostContext,
    file: str | None,
) -> None:
    """Fill the cache with all nodes of a prompt, unseen and at no cost.

    With a `file` what it saved goes by that name, whether there is such a file or not.
    """
    unseen = replace(
        surroundings,
        feed=WebSocketFeed({}),
        seconds_per_picture=0.0,
        interrupt=Interrupt(),
        fate=PromptFaults(),
    )
    await PromptRun(item, definitions=definitions, cache=cache, surroundings=unseen).finish()
    for node in item.graph if file else ():
        ran = cache.get(node)
        if ran is not None and ran.ui is not None:
            cache.keep(node, replace(ran, ui=_renamed(ran.ui, str(file))))


def _renamed(ui: dict[str, Any], file: str) -> dict[str, Any]:
    name = {"filename": posixpath.basename(file), "subfolder": posixpath.dirname(file)}
    return {**ui, "images": [{**image, **name} for image in ui["images"]]}


log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExecutedPrompt:
    """A prompt whose sampler or save node really ran, in this many seconds."""

    prompt_id: str
    client_id: object
    when: float
    seconds: float
    succeeded: bool


class Executor:
    """Takes prompts from the queue and runs them to their end."""

    def __init__(  # noqa: PLR0913 each is a part of its own
        self,
        queue: PromptQueue,
        *,
        definitions: NodeDefinitions,
        version: Version,
        surroundings: HostContext,
        drawn: list[ExecutedPrompt],
        cache: NodeCache,
    ) -> None:
        self._queue = queue
        self._definitions = definitions
        self._version = version
        self._around = surroundings
        self._drawn = drawn
        self._cache = cache
        self._run: PromptRun | None = None
        self._frees_when_idle = False

    def place(self, client_id: str) -> str | None:
        """Tell at which node the running prompt is, if it is that client's."""
        if self._run is None or self._run.item.client_id != client_id:
            return None
        return self._run.at

    async def work_for_ever(self) -> None:
        """Draw until cancelled."""
        while True:
            await self._queue.waits()
            # A queue that grows meanwhile is told of before the prompt is taken, as on a real one.
            await self._around.sleep(0)
            if self._queue.pending:
                await self._draw(self._queue.take())

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Ask the running prompt to stop: any, or only the one of that id."""
        running = self._queue.running
        if prompt_id is not None and (running is None or running.prompt_id != prompt_id):
            return False
        if running is not None and self._around.fate.loses_interrupt(running.prompt_id):
            return True
        self._around.interrupt.ask()
        return running is not None

    def free(self) -> None:
        """Forget what the nodes left behind, once nothing runs."""
        self._frees_when_idle = True
        if self._run is None:
            self._free()

    async def _draw(self, item: QueueItem) -> None:
        # An interrupt that came while nothing ran is forgotten, as on a real server.
        self._around.interrupt.take()
        outcome = await self._finished(item)
        if outcome.succeeded:
            await self._around.fate.finish_late(item.prompt_id)
        # The history has the prompt a moment after its client was told, as on a real server.
        await self._around.sleep(0)
        self._queue.finish(item, outcome)
        if item.client_id is not None:
            over = {"node": None, "prompt_id": item.prompt_id}
            self._around.feed.tell("executing", over, item.client_id)
        if self._frees_when_idle:
            self._free()

    async def _finished(self, item: QueueItem) -> PromptOutcome:
        if not self._version.forgets_on_success:
            self._cache.open(item.graph)
            self._cache.forget_the_rest()
        if fault := self._around.fate.reuse(item.prompt_id):
            await draw_beforehand(
                item,
                definitions=self._definitions,
                cache=self._cache,
                surroundings=self._around,
                file=fault.file,
            )
        run = PromptRun(
            item, definitions=self._definitions, cache=self._cache, surroundings=self._around
        )
        self._run, began = run, time.monotonic()
        succeeded = False
        try:
            outcome = await run.finish()
            succeeded = outcome.succeeded
        finally:
            # A host that is killed has spent the time all the same.
            self._run = None
            self._account(run, time.monotonic() - began, succeeded=succeeded)
        if self._version.forgets_on_success and succeeded:
            self._cache.forget_the_rest()
        return outcome

    def _account(self, run: PromptRun, seconds: float, *, succeeded: bool) -> None:
        classes = [run.item.graph[node]["class_type"] for node in run.started]
        if not any(class_type in WORKING_NODES for class_type in classes):
            return
        self._drawn.append(
            ExecutedPrompt(
                prompt_id=run.item.prompt_id,
                client_id=run.item.client_id,
                when=time.time(),
                seconds=seconds,
                succeeded=succeeded,
            )
        )
        log.debug("sandbox drew", prompt=run.item.prompt_id, seconds=round(seconds, 3))

    def _free(self) -> None:
        self._frees_when_idle = False
        self._cache.clear()
