"""Overtaking: a worker may start a job again that it still runs, and arq stumbles over that.

One that was paused for longer than a lease finds its own jobs free when it wakes, and takes them.
Of the two runs the claim decides; but arq notes them under one id, and when the second one ends
it calls it a failure and drops the job, a retry that was asked for included.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from arq.worker import Worker


class _Notes(dict[str, asyncio.Task[Any]]):
    def __delitem__(self, job_id: str) -> None:
        self.pop(job_id, None)


def allow() -> None:
    """Let arq forget a run that it has forgotten already; call it in the task that polls."""
    worker = _polling()
    worker.job_tasks = _Notes(worker.job_tasks)


def _polling() -> Worker:
    # arq hands its worker to nobody: this task runs its `main`.
    task = cast("asyncio.Task[None]", asyncio.current_task())
    main = cast("Coroutine[Any, Any, None]", task.get_coro())
    return cast("Worker", main.cr_frame.f_locals["self"])  # type: ignore[attr-defined]
