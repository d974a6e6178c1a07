"""The worker as a process of its own, for tests that stop it, kill it and read its log."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from imagegen.settings import Settings
from tests.support import fork_server
from tests.support.fork_server import OwnProcess, Process

ARQ = (sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings")
# For tests that kill one worker and wait for the next.
QUICK = (sys.executable, "-m", "arq", "tests.support.quick_recovery.WorkerSettings")
IMAGEGEN = (str(Path(sys.executable).with_name("imagegen")), "worker")

# Two busy cores take their time to import a worker.
READY_S = 90.0
END_S = 30.0


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    """Return all that the worker is to see; `changes` are further variables."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value() if settings.redis_url else "",
        "COMFYUI_HOSTS": ",".join(host.name for host in settings.comfyui_hosts),
        "TELEGRAM_BOT_TOKEN": settings.telegram_bot_token.get_secret_value(),
        "TELEGRAM_API_URL": str(settings.telegram_api_url),
        "IMAGE_STORE": settings.image_store,
        "WORKFLOWS_DIR": str(settings.workflows_dir),
        "WEB_PORT": str(settings.web_port),
        "STOP_GRACE": str(settings.stop_grace),
        **changes,
    }


class WorkerProcess:
    """A started worker and what it has written; `running` ends it."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """All that it wrote, on stdout or stderr."""
        return self._log.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def events_of(self, request_id: object) -> list[str]:
        return [line["event"] for line in self.events if line.get("request_id") == str(request_id)]

    async def wait_until(self, ready: Callable[[], object], *, timeout_s: float) -> None:
        """Return once `ready` holds; raise with its log when it ends before that or is late."""
        try:
            async with asyncio.timeout(timeout_s):
                while not ready():
                    assert self.is_running, self.output
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not after {timeout_s:g} s: {self.output}") from None

    async def wait_for_log(self, event: str, *, timeout_s: float = READY_S) -> None:
        await self.wait_until(lambda: f'"{event}"' in self.output, timeout_s=timeout_s)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal; SIGSTOP makes it stand still until SIGCONT."""
        self._process.send_signal(number)

    async def wait_until_stopped(self, *, timeout_s: float) -> None:
        """Return once a SIGSTOP has taken hold of it."""
        await self.wait_until(lambda: self._process.is_stopped, timeout_s=timeout_s)

    async def wait(self, *, timeout_s: float = END_S) -> int:
        """Return the exit code; raise TimeoutExpired if it stays."""
        return await asyncio.to_thread(self._process.wait, timeout_s)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code; raise TimeoutExpired if it stays."""
        self.ask_to_stop(number)
        return await self.wait()


@asynccontextmanager
async def running(
    home: Path,
    variables: Mapping[str, str],
    *,
    command: Sequence[str] = ARQ,
    says: str = '"worker ready"',
    is_forked: bool = True,
) -> AsyncIterator[WorkerProcess]:
    """Run a worker in `home`, which is made, until the block ends; yield it when it `says` so.

    It is forked from a process that has imported it, unless it has to start as people start it.
    """
    home.mkdir(exist_ok=True)
    log = home / "worker.log"
    with log.open("wb") as output:
        process = _start(command, variables, home, output.fileno(), is_forked=is_forked)
    try:
        worker = WorkerProcess(process, log)
        await worker.wait_until(lambda: says in worker.output, timeout_s=READY_S)
        yield worker
    finally:
        process.kill()
        process.wait()


def _start(
    command: Sequence[str],
    variables: Mapping[str, str],
    home: Path,
    output: int,
    *,
    is_forked: bool,
) -> Process:
    if is_forked:
        return fork_server.shared().start(
            command, env=variables, cwd=home, stdout=output, stderr=output
        )
    return OwnProcess(
        command, env=variables, cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
