"""The real worker as a process of its own, for the demo."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess

# Variables that any program needs; no setting of a real worker is passed on.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
_CHECK_INTERVAL_S = 0.2

ResultT = TypeVar("ResultT")


class DemoWorker:
    """A worker that is started again when somebody has killed it, as a supervisor does.

    Its owner must call `end`.

    Raises:
        SandboxError: created outside of the main thread.
    """

    def __init__(self, launch: LaunchCommand) -> None:
        self._launch = launch
        self._process = ServerProcess(launch)

    @property
    def pid(self) -> int:
        return self._process.pid

    def last_words(self) -> str:
        """Return the last lines of its log as one line."""
        return self._process.last_words()

    def end(self) -> None:
        """Let it end; it gets SIGTERM."""
        self._process.end(signal.SIGTERM)

    async def while_running(
        self, work: asyncio.Future[ResultT], say: Callable[[str], None]
    ) -> ResultT:
        """Return the result of the work, and start the worker again, with a word, if it is killed.

        Cancels the work if the worker has ended by itself, or if this call is cancelled.

        Raises:
            SandboxError: the worker ended by itself, so a new one would end too.
        """
        try:
            while True:
                done, _ = await asyncio.wait({work}, timeout=_CHECK_INTERVAL_S)
                if done:
                    return work.result()
                if not self._process.is_running:
                    self._start_again(say)
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    def _start_again(self, say: Callable[[str], None]) -> None:
        if not self._process.was_killed:
            raise SandboxError(f"the worker ended: {self.last_words()}")
        say("The worker was killed; it is started again, and its picture comes later.")
        self._process = ServerProcess(self._launch)


@contextmanager
def running_worker(directory: Path, settings: Mapping[str, str]) -> Iterator[DemoWorker]:
    """Run `arq imagegen.worker.WorkerSettings` with these settings and no others.

    It gets SIGTERM at the end of the block.
    """
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    worker = DemoWorker(
        LaunchCommand(
            name="worker",
            directory=directory,
            command=[sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings"],
            environment={**inherited, "PYTHONUNBUFFERED": "1", **settings},
            at_home=True,
        )
    )
    try:
        yield worker
    finally:
        worker.end()
