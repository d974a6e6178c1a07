"""The one worker of a host: it draws the queue's prompts one at a time."""

import time
from dataclasses import dataclass

import structlog

from imagegen.sandbox.comfyui.cache import Cache
from imagegen.sandbox.comfyui.definitions import Definitions
from imagegen.sandbox.comfyui.desk import Surroundings
from imagegen.sandbox.comfyui.drawn_before import draw_before
from imagegen.sandbox.comfyui.queue import Item, Outcome, Queue
from imagegen.sandbox.comfyui.run import Run
from imagegen.sandbox.comfyui.versions import Version
from imagegen.sandbox.comfyui.working_nodes import WORKING_NODES

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A prompt whose sampler or save node really ran, in this many seconds."""

    prompt_id: str
    client_id: object
    when: float
    seconds: float
    succeeded: bool


class Worker:
    """Takes prompts from the queue and runs them to their end."""

    def __init__(  # noqa: PLR0913 each is a part of its own
        self,
        queue: Queue,
        *,
        definitions: Definitions,
        version: Version,
        surroundings: Surroundings,
        drawn: list[Drawn],
        cache: Cache,
    ) -> None:
        self._queue = queue
        self._definitions = definitions
        self._version = version
        self._around = surroundings
        self._drawn = drawn
        self._cache = cache
        self._run: Run | None = None
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

    async def _draw(self, item: Item) -> None:
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

    async def _finished(self, item: Item) -> Outcome:
        if not self._version.forgets_on_success:
            self._cache.open(item.graph)
            self._cache.forget_the_rest()
        if fault := self._around.fate.reuse(item.prompt_id):
            await draw_before(
                item,
                definitions=self._definitions,
                cache=self._cache,
                surroundings=self._around,
                file=fault.file,
            )
        run = Run(item, definitions=self._definitions, cache=self._cache, surroundings=self._around)
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

    def _account(self, run: Run, seconds: float, *, succeeded: bool) -> None:
        classes = [run.item.graph[node]["class_type"] for node in run.started]
        if not any(class_type in WORKING_NODES for class_type in classes):
            return
        self._drawn.append(
            Drawn(
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
