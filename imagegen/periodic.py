"""A background task that runs a function at intervals while a block runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

# How long the end of the block waits for a step that does not end when it is cancelled.
_STOP_TIMEOUT_S = 1.0


@asynccontextmanager
async def every(  # noqa: PLR0913 (how it waits, all by name)
    seconds: float,
    step: Callable[[], Awaitable[bool | None]],
    *,
    name: str,
    delay_s: float = 0.0,
    due: asyncio.Event | None = None,
    due_within_s: float | None = None,
) -> AsyncIterator[None]:
    """Await `step()` after `delay_s` and then again `seconds` after each end, until the block ends.

    `due`, if given, is waited for and cleared before each step, and set again by a step that fails
    or returns True; after `due_within_s`, None for never, a step comes all the same.
    An exception of a step is logged, with a traceback if it is none of ours, and the next step
    comes as usual. At the end of the block the running step is cancelled and waited for, one second
    at most. `name` is the name of the task.
    """
    loop = asyncio.get_running_loop()
    is_over = loop.create_future()
    task: asyncio.Task[None] | None = None

    async def run() -> None:
        while not is_over.done():
            if due is not None:
                await _until_set(due, due_within_s)
            if await _is_due_again(step, name) and due is not None:
                due.set()
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


async def _until_set(due: asyncio.Event, within_s: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await due.wait()
    due.clear()


async def _is_due_again(step: Callable[[], Awaitable[bool | None]], name: str) -> bool:
    try:
        return bool(await step())
    except ImagegenError as error:
        log.log(error.level, "a step waits", task=name, code=error.code, why=error.sentence)
    except Exception:
        log.exception("a step failed", task=name)
    return True
