"""Reloads personas in all workers: `imagegen personas reload` asks in Redis, and each answers there.

A SIGHUP asks one worker alone. What is asked is gone after a minute, and a worker that starts later
reads the personas by itself.
"""

import asyncio
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from chatflow_hook.queue import queued_channel
from imagegen.workflows.reload import LibraryNotReloaded, ReloadableLibrary

log = structlog.get_logger(__name__)

# How often a worker looks whether it was asked to, if nobody tells it: an older command does not.
RELOAD_EVERY_S = 5.0
# The least time between two looks.
RELOAD_PAUSE_S = 0.2
# What is published on the channel of the queue beside that a job was enqueued.
RELOAD_MESSAGE = b"reload"
_ASKED_KEY = "imagegen:personas:reload"
_ANSWERS_KEY = "imagegen:personas:reloaded:"
_KEPT_S = 60
_LOOK_EVERY_S = 0.2


class ReloadAnswer(BaseModel):
    """What a reload has changed in one worker; `why` it has changed nothing, None if it was done."""

    # A newer worker may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: str
    why: str | None = None
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class PersonaReload:
    """Reloads the personas of one worker when it is asked; `worker` is its name in answers."""

    def __init__(self, redis: Redis, library: ReloadableLibrary, *, worker: str) -> None:
        self._redis = redis
        self._library = library
        self._worker = worker
        self._done: bytes | None = None
        self._is_signalled = False
        # Set when a step has something to look at.
        self.asked = asyncio.Event()

    def listen_for_sighup(self) -> None:
        """Reload after each SIGHUP, unless it is a terminal that would send it at its end."""
        loop = asyncio.get_running_loop()

        def on_signal(*_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed, and so is the worker
                loop.call_soon_threadsafe(self.ask)

        if sys.stdin is None or not sys.stdin.isatty():
            signal.signal(signal.SIGHUP, on_signal)

    def ask(self) -> None:
        """Reload at the next step."""
        self._is_signalled = True
        self.asked.set()

    def on_message(self, message: bytes | None) -> None:
        """Look soon whether a reload was asked for, if a message says so or may have been missed."""
        if message in (None, RELOAD_MESSAGE):
            self.asked.set()

    async def step(self) -> None:
        """Reload if that was asked for since the last step, and answer."""
        if self._is_signalled:
            self._is_signalled = False
            await self._reload()
        try:
            asked = await self._redis.get(_ASKED_KEY)
        except (RedisError, OSError):
            return  # whoever asked is told by Redis too that it is away
        if asked is None or asked == self._done:
            return
        self._done = asked
        answer = await self._reload()
        key = _ANSWERS_KEY + asked.decode()
        try:
            async with self._redis.pipeline() as pipe:
                pipe.rpush(key, answer.model_dump_json())
                pipe.expire(key, _KEPT_S)
                await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("reload not answered", error=type(error).__name__)

    async def _reload(self) -> ReloadAnswer:
        try:
            change = await self._library.reload()
        except LibraryNotReloaded as error:
            log.error("personas not reloaded", why=error.sentence)  # noqa: TRY400 (the sentence is all)
            return ReloadAnswer(worker=self._worker, why=error.sentence)
        log.info(
            "personas reloaded", added=change.added, changed=change.changed, removed=change.removed
        )
        return ReloadAnswer(
            worker=self._worker,
            added=change.added,
            changed=change.changed,
            removed=change.removed,
        )


async def ask_all(
    redis: Redis, *, broker_db: int, worker_count: int, timeout_s: float
) -> Sequence[ReloadAnswer]:
    """Ask all workers to reload, and return their answers: all of them, or those within `timeout_s`.

    `broker_db` is the number of the queue's database, on whose channel the workers are told.

    Raises:
        RedisError: Redis cannot be used.
        OSError: Redis cannot be reached.
    """
    asked = secrets.token_hex(8)
    await redis.set(_ASKED_KEY, asked, ex=_KEPT_S)
    # Who may not publish is found by the workers' own looks.
    with suppress(NoPermissionError):
        await redis.publish(queued_channel(broker_db), RELOAD_MESSAGE)
    answers: list[bytes] = []
    try:
        async with asyncio.timeout(timeout_s):
            while len(answers) < worker_count:
                await asyncio.sleep(_LOOK_EVERY_S)
                found: Any = redis.lrange(_ANSWERS_KEY + asked, 0, -1)
                answers = await found
    except TimeoutError:
        pass
    return [answer for packed in answers if (answer := _read(packed)) is not None]


def _read(packed: bytes) -> ReloadAnswer | None:
    try:
        return ReloadAnswer.model_validate_json(packed)
    except ValidationError:
        return None
