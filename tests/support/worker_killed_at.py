"""A worker process that gets a signal at a certain place in its code."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import worker_process
from tests.support.product import RunningProduct
from tests.support.worker_process import WorkerProcess

# The start of a worker on a busy machine, and the rest of the lease of the one before.
STEP_S = 60.0


def variables(product: RunningProduct, **changes: str) -> dict[str, str]:
    """Return the environment of a worker that waits for nothing long; `changes` come on top."""
    return worker_process.environment(
        product.settings,
        **{
            "COMFYUI_LOOK_AFTER": "1",
            "PYTHONPATH": str(Path.cwd()),
            "REQUEST_MAX_AGE": "0",
            **changes,
        },
    )


@asynccontextmanager
async def interrupted(
    number: signal.Signals,
    at: str,
    product: RunningProduct,
    home: Path,
    *,
    persona: str = "",
    **changes: str,
) -> AsyncIterator[WorkerProcess]:
    """Run a worker that gets the signal `at` a place, such as `imagegen/pipeline/make_image.py:_deliver`."""
    command = [sys.executable, "-m", "tests.support.interrupted_worker", number.name, at]
    if persona:
        command.append(persona)
    async with worker_process.running(
        home, variables(product, **changes), command=command
    ) as worker:
        yield worker


async def killed_at(
    place: str, product: RunningProduct, home: Path, *, persona: str = "", **changes: str
) -> None:
    """Run a worker until it is killed at a place."""
    async with interrupted(
        signal.SIGKILL, place, product, home, persona=persona, **changes
    ) as worker:
        assert await worker.wait(timeout_s=STEP_S) == -signal.SIGKILL
