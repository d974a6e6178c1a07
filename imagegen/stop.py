"""The stop: ends the worker when the system asks, in seconds and without a traceback.

arq's own handlers can do neither for sure. They cancel a job even while arq puts it away, and the
worker then ends in a traceback; and they cancel the polling once, which Python 3.11 may lose.
"""

import asyncio
import signal
from typing import Any, cast

import structlog
from arq.typing import WorkerCoroutine

log = structlog.get_logger(__name__)

_INSIST_EVERY_S = 0.2
# Below the ten seconds that containers are given.
_GRACE_S = 6.0


class Stop:
    """Knows the running jobs, and sends them back to the queue when the process is to end."""

    def __init__(self) -> None:
        self._jobs: set[asyncio.Task[Any]] = set()
        self._insisting: asyncio.Task[None] | None = None

    def reaching(self, job: WorkerCoroutine) -> WorkerCoroutine:
        """Return the job so that a stop reaches it."""

        async def reached(ctx: dict[Any, Any], *args: Any) -> Any:
            if self._insisting is not None:  # it was picked up just before
                raise asyncio.CancelledError
            task = _this_task()
            self._jobs.add(task)
            try:
                return await job(ctx, *args)
            finally:
                self._jobs.discard(task)

        return reached

    def listen(self) -> None:
        """Take the signals from arq; call it in the task that polls."""
        polling, loop = _this_task(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin, polling)

    def _begin(self, polling: asyncio.Task[Any]) -> None:
        if self._insisting is not None:
            return
        log.info("worker stops", jobs=len(self._jobs))
        self._insisting = asyncio.create_task(_insist(polling), name="stop")
        for task in self._jobs:
            task.cancel()
        asyncio.get_running_loop().call_later(_GRACE_S, _leave)


async def _insist(polling: asyncio.Task[Any]) -> None:
    while not polling.done():
        polling.cancel()
        await asyncio.wait({polling}, timeout=_INSIST_EVERY_S)


def _leave() -> None:
    # Redis is away, or a job does not hear. The lease finds what was left.
    log.warning("worker leaves its jobs to the next", after_s=_GRACE_S)
    raise SystemExit(0)


def _this_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())
