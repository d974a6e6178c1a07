"""Everything that a host has in memory between its start and its death."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.cache import Cache
from imagegen.sandbox.comfyui.definitions import Definitions
from imagegen.sandbox.comfyui.desk import Interrupt, Surroundings
from imagegen.sandbox.comfyui.fate import Fate, Load
from imagegen.sandbox.comfyui.feed import Feed
from imagegen.sandbox.comfyui.files import Files
from imagegen.sandbox.comfyui.flags import Flags
from imagegen.sandbox.comfyui.mischief import Mischief
from imagegen.sandbox.comfyui.order import Graph
from imagegen.sandbox.comfyui.queue import Queue
from imagegen.sandbox.comfyui.validation import Verdict, judge
from imagegen.sandbox.comfyui.versions import Version
from imagegen.sandbox.comfyui.wire import Wire
from imagegen.sandbox.comfyui.worker import Drawn, Worker


@dataclass(frozen=True, kw_only=True)
class Posted:
    """A prompt that was accepted."""

    prompt_id: str
    graph: Graph
    client_id: object
    extra_data: Mapping[str, Any]
    when: float


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a host was asked for and what it did, over all its lives."""

    posted: list[Posted]
    drawn: list[Drawn]
    loads: list[Load] = field(default_factory=list)


class Machine:
    """Queue, feed and worker of one life of a host; files and account outlive it."""

    def __init__(  # noqa: PLR0913 each is a setting of its own
        self,
        *,
        version: Version,
        models: Mapping[str, Sequence[str]],
        files: Files,
        account: Account,
        seconds_per_picture: float,
        flags: Flags,
        sleep: Callable[[float], Awaitable[object]],
        mischief: Mischief | None = None,
        model_load_seconds: float = 0.0,
    ) -> None:
        self.mischief = mischief or Mischief()
        interrupt = Interrupt()
        fate = Fate(
            mischief=self.mischief,
            out_of_memory=version.out_of_memory,
            load_seconds=model_load_seconds,
            loads=account.loads,
        )
        self.version = version
        self.models = models
        self.files = files
        self.flags = flags
        self.definitions = Definitions(version.name, models)
        self.feed = Feed(
            version.features,
            wire=Wire(self.mischief),
            overhear=lambda event, facts: fate.overhear(event, facts, interrupt),
        )
        self.queue = Queue(self._announce)
        self.worker = Worker(
            self.queue,
            definitions=self.definitions,
            version=version,
            surroundings=Surroundings(
                feed=self.feed,
                files=files,
                seconds_per_picture=seconds_per_picture,
                progress_pause_s=version.progress_pause_s,
                preview_method=flags.preview_method,
                takes_preview_method=version.takes_preview_method,
                sleep=sleep,
                interrupt=interrupt,
                fate=fate,
            ),
            cache=Cache(keeps=flags.cache_lru),
            drawn=account.drawn,
        )
        self._account = account
        self._number = 0

    @property
    def status(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    async def live(self) -> None:
        """Draw and send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.feed.send_for_ever(), name="sandbox comfyui feed")
            tasks.create_task(self.worker.work_for_ever(), name="sandbox comfyui worker")

    def next_number(self, wish: Mapping[str, Any]) -> float:
        """Give a prompt its place: the one it asks for, or the next, or before all others."""
        if "number" in wish:
            return float(wish["number"])
        number = self._number
        self._number += 1
        return -number if wish.get("front") else number

    def accept(self, wish: Mapping[str, Any], prompt_id: str, number: float) -> Verdict:
        """Judge a posted prompt and queue it if something of it can run."""
        verdict = judge(wish["prompt"], self.definitions, self.version, self.files)
        if verdict.error is None:
            extra_data = self._extra_data(wish)
            self.queue.put(number, prompt_id, wish["prompt"], extra_data, verdict.outputs)
            self._account.posted.append(
                Posted(
                    prompt_id=prompt_id,
                    graph=wish["prompt"],
                    client_id=extra_data.get("client_id"),
                    extra_data=extra_data,
                    when=time.time(),
                )
            )
        return verdict

    def cancel(self, prompt_id: str) -> bool:
        """Take a prompt off, waiting or running."""
        if self.queue.delete(prompt_id):
            self._announce()
            return True
        return self.queue.is_running(prompt_id) and self.worker.interrupt(prompt_id)

    def _extra_data(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        extra_data = dict(wish.get("extra_data") or {})
        if "client_id" in wish:
            extra_data["client_id"] = wish["client_id"]
        if self.version.stamps_creation:
            extra_data["create_time"] = time.time_ns() // 1_000_000
        return extra_data

    def _announce(self) -> None:
        self.feed.tell("status", {"status": self.status})


def is_canonical(prompt_id: object) -> bool:
    """Tell whether an id is a UUID in lower case with hyphens."""
    if not isinstance(prompt_id, str):
        return False
    try:
        return str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False
