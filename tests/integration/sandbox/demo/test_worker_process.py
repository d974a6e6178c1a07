"""The demo's worker is started again when somebody kills it, and not when it ends by itself."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagegen.sandbox.demo.worker_process import DemoWorker
from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.servers.process import LaunchCommand
from tests.support.patience import PATIENCE_S


@pytest.fixture
def worker_of(tmp_path: Path) -> Iterator[Callable[[str], DemoWorker]]:
    """Start a worker that runs a line of Python."""
    with ExitStack() as stack:

        def start(line: str) -> DemoWorker:
            command = [sys.executable, "-I", "-S", "-c", line]
            worker = DemoWorker(LaunchCommand(name="worker", directory=tmp_path, command=command))
            stack.callback(worker.end)
            return worker

        yield start


async def test_a_worker_that_is_killed_is_started_again_and_the_work_goes_on(
    worker_of: Callable[[str], DemoWorker],
) -> None:
    worker = worker_of("import time; time.sleep(600)")
    first = worker.pid
    words: asyncio.Queue[str] = asyncio.Queue()

    async def until_killed_twice() -> str:
        for _ in range(2):
            os.kill(worker.pid, signal.SIGKILL)
            assert "started again" in await words.get()
        return "done"

    async with asyncio.timeout(PATIENCE_S):
        work = asyncio.ensure_future(until_killed_twice())
        assert await worker.while_running(work, words.put_nowait) == "done"

    assert worker.pid != first


async def test_a_worker_that_ends_by_itself_ends_the_work_with_its_last_words(
    worker_of: Callable[[str], DemoWorker],
) -> None:
    worker = worker_of("raise SystemExit('no such setting')")
    work = asyncio.ensure_future(asyncio.Event().wait())

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(SandboxError, match="the worker ended: no such setting"):
            await worker.while_running(work, print)

    assert work.cancelled()
