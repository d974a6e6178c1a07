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
    is_over = asyncio.get_running_loop().create_future()

    async def run() -> None:
        await asyncio.sleep(delay_s)
        while not is_over.done():
            try:
                await step()
            except ImagegenError as error:
                log.log(error.level, "a step waits", task=name, code=error.code, why=error.sentence)
            except Exception:
                log.exception("a step failed", task=name)
            await asyncio.wait({is_over}, timeout=seconds)

    task = asyncio.create_task(run(), name=name)
    try:
        yield
    finally:
        # The future and the cancellation are both needed: asyncio.wait_for of Python 3.11, which
        # redis-py uses to send, loses a cancellation that comes at the moment in which its work is
        # done. The step then continues as if it had not been cancelled.
        is_over.set_result(None)
        task.cancel()
        await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)
