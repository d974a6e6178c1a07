"""A background task that runs a function at intervals while a block runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

# How long the end of the block waits for a step that does not end when it is cancelled.
_STOP_TIMEOUT_S = 1.0


@asynccontextmanager
async def every(
    seconds: float, step: Callable[[], Awaitable[None]], *, name: str, delay_s: float = 0.0
) -> AsyncIterator[None]:
    """Await `step()` after `delay_s` and then again `seconds` after each end, until the block ends.

    An exception of a step is logged, with a traceback if it is none of ours, and the next step
    comes as usual. At the end of the block the running step is cancelled and waited for, one second
    at most. `name` is the name of the task.
    """
    loop = asyncio.get_running_loop()
    is_over = loop.create_future()
    task: asyncio.Task[None] | None = None

    async def run() -> None:
        while not is_over.done():
            try:
                await step()
            except ImagegenError as error:
                log.log(error.level, "a step waits", task=name, code=error.code, why=error.sentence)
            except Exception:
                log.exception("a step failed", task=name)
            await asyncio.wait({is_over}, timeout=seconds)

    def begin() -> None:
        nonlocal task
        task = asyncio.create_task(run(), name=name)

    # Many a block ends before its first step, and a timer costs far less than a task.
    timer = loop.call_later(delay_s, begin)
    try:
        yield
    finally:
        timer.cancel()
        # The future and the cancellation are both needed: asyncio.wait_for of Python 3.11, which
        # redis-py uses to send, loses a cancellation that comes at the moment in which its work is
        # done. The step then continues as if it had not been cancelled.
        is_over.set_result(None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)
