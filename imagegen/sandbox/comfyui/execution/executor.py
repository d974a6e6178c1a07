"""The executor of a host: it runs the queue's prompts one at a time."""

import posixpath
import time
from dataclasses import dataclass, replace
from typing import Any

import structlog

from imagegen.sandbox.comfyui.execution.cache import NodeCache
from imagegen.sandbox.comfyui.execution.interrupts import Interrupt
from imagegen.sandbox.comfyui.execution.node_context import HostContext
from imagegen.sandbox.comfyui.execution.node_definitions import NodeDefinitions
from imagegen.sandbox.comfyui.execution.prompt_run import PromptRun
from imagegen.sandbox.comfyui.execution.queue import PromptOutcome, PromptQueue, QueueItem
from imagegen.sandbox.comfyui.execution.sampler_nodes import SAMPLER_AND_SAVE_NODES
from imagegen.sandbox.comfyui.faults.prompt_faults import PromptFaults
from imagegen.sandbox.comfyui.versions import Version
from imagegen.sandbox.comfyui.websocket.feed import WebSocketFeed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExecutedPrompt:
    """A prompt of which at least one sampler or save node really ran.

    `when` is its end in seconds as time.time() counts, `seconds` how long it took.
    """

    prompt_id: str
    client_id: object
    when: float
    seconds: float
    succeeded: bool


class PromptExecutor:
    """Takes prompts from the queue and runs each to its end."""

    def __init__(  # noqa: PLR0913 each is a part of its own
        self,
        queue: PromptQueue,
        *,
        definitions: NodeDefinitions,
        version: Version,
        host_context: HostContext,
        drawn: list[ExecutedPrompt],
        cache: NodeCache,
    ) -> None:
        self._queue = queue
        self._definitions = definitions
        self._version = version
        self._host_context = host_context
        self._drawn = drawn
        self._cache = cache
        self._run: PromptRun | None = None
        self._clear_when_idle = False

    def running_node(self, client_id: str) -> str | None:
        """Return the node that runs now, or None if the running prompt is not that client's."""
        if self._run is None or self._run.item.client_id != client_id:
            return None
        return self._run.current_node

    async def run_forever(self) -> None:
        """Run prompts until cancelled."""
        while True:
            await self._queue.wait_for_prompt()
            # Status events of prompts that arrive meanwhile are sent before this prompt is taken, as on a
            # real server.
            await self._host_context.sleep(0)
            if self._queue.pending:
                await self._run_next(self._queue.take())

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Interrupt the running prompt: any, or only the one with that id.

        Returns False if no such prompt runs.
        """
        running = self._queue.running
        if prompt_id is not None and (running is None or running.prompt_id != prompt_id):
            return False
        if running is not None and self._host_context.faults.loses_interrupt(running.prompt_id):
            return True
        self._host_context.interrupt.request()
        return running is not None

    def free(self) -> None:
        """Clear the cache, at once or when the running prompt has ended (POST /free)."""
        self._clear_when_idle = True
        if self._run is None:
            self._clear_cache()

    async def _run_next(self, item: QueueItem) -> None:
        # An interrupt that came while nothing ran has no effect, as on a real server.
        self._host_context.interrupt.take()
        outcome = await self._run_prompt(item)
        if outcome.succeeded:
            await self._host_context.faults.delay_history(item.prompt_id)
        # The prompt is in the history shortly after its client got the last event, as on a real server.
        await self._host_context.sleep(0)
        self._queue.finish(item, outcome)
        if item.client_id is not None:
            end = {"node": None, "prompt_id": item.prompt_id}
            self._host_context.feed.send("executing", end, item.client_id)
        if self._clear_when_idle:
            self._clear_cache()

    async def _run_prompt(self, item: QueueItem) -> PromptOutcome:
        if not self._version.forgets_on_success:
            self._cache.set_graph(item.graph)
            self._cache.evict()
        if fault := self._host_context.faults.take_cached_fault(item.prompt_id):
            await fill_cache(
                item,
                definitions=self._definitions,
                cache=self._cache,
                host_context=self._host_context,
                file=fault.file,
            )
        run = PromptRun(
            item, definitions=self._definitions, cache=self._cache, host_context=self._host_context
        )
        self._run, started_at = run, time.monotonic()
        succeeded = False
        try:
            outcome = await run.finish()
            succeeded = outcome.succeeded
        finally:
            # A host that is killed has spent the GPU time as well.
            self._run = None
            self._record_usage(run, time.monotonic() - started_at, succeeded=succeeded)
        if self._version.forgets_on_success and succeeded:
            self._cache.evict()
        return outcome

    def _record_usage(self, run: PromptRun, seconds: float, *, succeeded: bool) -> None:
        classes = [run.item.graph[node]["class_type"] for node in run.started]
        if not any(class_type in SAMPLER_AND_SAVE_NODES for class_type in classes):
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

    def _clear_cache(self) -> None:
        self._clear_when_idle = False
        self._cache.clear()
        self._host_context.faults.unload()


async def fill_cache(
    item: QueueItem,
    *,
    definitions: NodeDefinitions,
    cache: NodeCache,
    host_context: HostContext,
    file: str | None,
) -> None:
    """Run a prompt without frames and without time, so that the cache holds all of its nodes.

    With a `file`, the images that it saved are listed under that name, whether it exists or not.
    """
    silent_host = replace(
        host_context,
        feed=WebSocketFeed({}),
        seconds_per_picture=0.0,
        interrupt=Interrupt(),
        faults=PromptFaults(),
    )
    await PromptRun(item, definitions=definitions, cache=cache, host_context=silent_host).finish()
    for node in item.graph if file else ():
        output = cache.get(node)
        if output is not None and output.ui is not None:
            cache.store(node, replace(output, ui=_with_file_name(output.ui, str(file))))


def _with_file_name(ui: dict[str, Any], file: str) -> dict[str, Any]:
    name = {"filename": posixpath.basename(file), "subfolder": posixpath.dirname(file)}
    return {**ui, "images": [{**image, **name} for image in ui["images"]]}
