"""A forked program with the face of `imagegen.sandbox.servers.process.ServerProcess`."""

import signal
import subprocess
from pathlib import Path

from imagegen.sandbox.servers.process import LaunchCommand
from tests.support import fork_server


class ForkedChild:
    """A Python program of the fork server; `end` or `kill` must be called, and may be again.

    It stays in the account, the group and the session of the tests.
    """

    def __init__(self, launch: LaunchCommand) -> None:
        self._launch = launch
        with launch.log.open("wb") as log:
            self._process = fork_server.shared().start(
                launch.command,
                env=launch.environment,
                cwd=launch.directory if launch.at_home else Path.cwd(),
                stdout=log.fileno(),
                stderr=log.fileno(),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        return " / ".join(self._launch.log.read_text(errors="replace").splitlines()[-6:])

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None:
        """Ask it to end, also when frozen; kill it when it does not."""
        self._process.send_signal(how)
        self.thaw()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
