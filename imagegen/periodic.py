"""A side task that takes a step every so often while a block runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger(__name__)

# A step that does not end by itself is not waited for.
_GRACE_S = 1.0


@asynccontextmanager
async def every(
    seconds: float, step: Callable[[], Awaitable[None]], *, name: str, delay_s: float = 0.0
) -> AsyncIterator[None]:
    """Take a step after `delay_s` and then every `seconds`, until the block ends.

    A step that fails is logged.
    """
    over = asyncio.Event()

    async def walk() -> None:
        await asyncio.sleep(delay_s)
        while not over.is_set():
            try:
                await step()
            except Exception:
                log.exception("a step failed", task=name)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await over.wait()

    task = asyncio.create_task(walk(), name=name)
    try:
        yield
    finally:
        # Both: asyncio.wait_for of Python 3.11, with which redis-py sends, loses a cancellation
        # that comes just as its work is done, and the step goes on as if there were none.
        over.set()
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_S)
