"""What a host has in memory between its start and its end, and the flags it was started with."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.execution.cache import NodeCache
from imagegen.sandbox.comfyui.execution.executor import ExecutedPrompt, PromptExecutor
from imagegen.sandbox.comfyui.execution.files import ImageFolders
from imagegen.sandbox.comfyui.execution.node_context import HostContext, Interrupt
from imagegen.sandbox.comfyui.execution.node_definitions import NodeDefinitions
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.execution.queue import PromptQueue
from imagegen.sandbox.comfyui.execution.validation import PromptValidation, validate_prompt
from imagegen.sandbox.comfyui.faults.injection import FaultInjection
from imagegen.sandbox.comfyui.faults.prompt_faults import ModelLoad, PromptFaults
from imagegen.sandbox.comfyui.versions import Version
from imagegen.sandbox.comfyui.websocket.faulty_connection import FeedConnection
from imagegen.sandbox.comfyui.websocket.feed import WebSocketFeed


@dataclass(frozen=True, kw_only=True)
class HostFlags:
    """Flags of ComfyUI's command line; the defaults are those of a plain `main.py`."""

    # --preview-method: none, auto, latent2rgb or taesd. All but none send sampler previews.
    preview_method: str = "none"
    # --cache-lru: how many nodes stay cached, those used last. 0 is the default cache, which keeps
    # the nodes of the last prompt.
    cache_lru: int = 0
    # --disable-metadata: the graph is not written into the files.
    disable_metadata: bool = False

    @property
    def argv(self) -> list[str]:
        """The command line, as /system_stats shows it."""
        argv = ["main.py"]
        if self.preview_method != "none":
            argv += ["--preview-method", self.preview_method]
        if self.cache_lru:
            argv += ["--cache-lru", str(self.cache_lru)]
        if self.disable_metadata:
            argv += ["--disable-metadata"]
        return argv


@dataclass(frozen=True, kw_only=True)
class PostedPrompt:
    """A prompt that was accepted; `when` is in seconds as time.time() counts."""

    prompt_id: str
    graph: Graph
    client_id: object
    extra_data: Mapping[str, Any]
    when: float


@dataclass(frozen=True, kw_only=True)
class AccountState:
    """What a host was asked for and what it did, over all its restarts."""

    posted: list[PostedPrompt]
    drawn: list[ExecutedPrompt]
    loads: list[ModelLoad] = field(default_factory=list)


class HostState:
    """Queue, feed and executor of a host from one start to its end.

    The files and the account are passed in, since they survive a restart.
    """

    def __init__(  # noqa: PLR0913 each is a setting of its own
        self,
        *,
        version: Version,
        models: Mapping[str, Sequence[str]],
        files: ImageFolders,
        account: AccountState,
        seconds_per_picture: float,
        flags: HostFlags,
        sleep: Callable[[float], Awaitable[object]],
        injection: FaultInjection | None = None,
        model_load_seconds: float = 0.0,
        longest_side: int | None = None,
    ) -> None:
        self.injection = injection or FaultInjection()
        interrupt = Interrupt()
        prompt_faults = PromptFaults(
            injection=self.injection,
            out_of_memory=version.out_of_memory,
            load_seconds=model_load_seconds,
            loads=account.loads,
        )
        self.version = version
        self.models = models
        self.files = files
        self.flags = flags
        self.definitions = NodeDefinitions(version.name, models)
        self.feed = WebSocketFeed(
            version.features,
            connection=FeedConnection(self.injection),
            on_event=lambda event, data: prompt_faults.interrupt_if_due(event, data, interrupt),
        )
        self.queue = PromptQueue(self._send_status)
        self.worker = PromptExecutor(
            self.queue,
            definitions=self.definitions,
            version=version,
            host_context=HostContext(
                feed=self.feed,
                files=files,
                seconds_per_picture=seconds_per_picture,
                progress_pause_s=version.progress_pause_s,
                preview_method=flags.preview_method,
                takes_preview_method=version.takes_preview_method,
                writes_metadata=not flags.disable_metadata,
                longest_side=longest_side,
                sleep=sleep,
                interrupt=interrupt,
                faults=prompt_faults,
            ),
            cache=NodeCache(max_nodes=flags.cache_lru),
            drawn=account.drawn,
        )
        self._account = account
        self._number = 0

    @property
    def status(self) -> dict[str, Any]:
        """The body of GET /prompt and of status events."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    async def run(self) -> None:
        """Run the executor and the feed until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.feed.send_forever(), name="sandbox comfyui feed")
            tasks.create_task(self.worker.run_forever(), name="sandbox comfyui worker")

    def next_number(self, body: Mapping[str, Any]) -> float:
        """Return the queue number for a posted prompt: its own `number`, or the next one.

        With `front` the number is negative, so that the prompt runs before all others.
        """
        if "number" in body:
            return float(body["number"])
        number = self._number
        self._number += 1
        return -number if body.get("front") else number

    def accept(self, body: Mapping[str, Any], prompt_id: str, number: float) -> PromptValidation:
        """Validate a posted prompt, and queue it if at least one of its outputs can run.

        Raises:
            BrokenRequestError: a real server's handler would break on it and answer 500.
        """
        validation = validate_prompt(body["prompt"], self.definitions, self.version, self.files)
        if validation.error is None:
            extra_data = self._extra_data(body)
            self.queue.put(number, prompt_id, body["prompt"], extra_data, validation.outputs)
            self._account.posted.append(
                PostedPrompt(
                    prompt_id=prompt_id,
                    graph=body["prompt"],
                    client_id=extra_data.get("client_id"),
                    extra_data=extra_data,
                    when=time.time(),
                )
            )
        return validation

    def cancel(self, prompt_id: str) -> bool:
        """Remove a pending prompt or interrupt a running one; False if it is neither."""
        if self.queue.delete(prompt_id):
            self._send_status()
            return True
        return self.queue.is_running(prompt_id) and self.worker.interrupt(prompt_id)

    def _extra_data(self, body: Mapping[str, Any]) -> dict[str, Any]:
        extra_data = dict(body.get("extra_data") or {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if self.version.stamps_creation:
            extra_data["create_time"] = time.time_ns() // 1_000_000
        return extra_data

    def _send_status(self) -> None:
        self.feed.send("status", {"status": self.status})


def is_canonical(prompt_id: object) -> bool:
    """Tell whether an id is a UUID in lower case with hyphens."""
    if not isinstance(prompt_id, str):
        return False
    try:
        return str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False
