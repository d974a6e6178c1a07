"""A private server: started on a free port, stopped, frozen, killed, started again."""

import signal
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import Self

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.ports import free_ports
from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess


class Server(ABC):
    """A private server that starts on entering, or with `start`.

    Later starts keep the port and the data. Its creator must call `close` or leave the `with` block:
    that removes its directory. Start it from the main thread only.
    """

    name: str
    stop_signal: signal.Signals
    kill_signal: signal.Signals = signal.SIGKILL
    start_timeout_s = 30.0

    def __init__(self) -> None:
        self._ends = ExitStack()
        self._child: ServerProcess | None = None
        self._is_prepared = False
        self._port = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        return self._running.pid

    def start(self) -> None:
        """Start the server and return when it accepts connections; does nothing if it runs.

        Raises:
            SandboxError: it did not start within `start_timeout_s`, or found no free port.
        """
        if self._child is not None and self._child.is_running:
            return
        if not self._is_prepared:
            self._prepare(self._ends)
            self._is_prepared = True
        for port in [self._port] if self._port else free_ports():
            if self._start_on(port):
                self._port = port
                return
        raise SandboxError(f"{self.name} found no free port on 127.0.0.1")

    def stop(self) -> None:
        """Shut the server down in an orderly way; does nothing if it does not run."""
        if self._child is not None:
            self._child.end(self.stop_signal)
            self._child = None

    def kill(self) -> None:
        """End the server as a crash does; what it has confirmed is there at the next start.

        Raises:
            SandboxError: it does not run.
        """
        self._running.kill(self.kill_signal)
        self._child = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process until `thaw`: connections stay open and silent.

        Raises:
            SandboxError: it does not run.
        """
        self._running.freeze()

    def thaw(self) -> None:
        self._running.thaw()

    def close(self) -> None:
        """Stop the server and remove its directory; may be called twice."""
        try:
            self.stop()
        finally:
            self._is_prepared = False
            self._ends.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _prepare(self, ends: ExitStack) -> None:
        """Create what the first start needs; `ends` removes it."""

    @abstractmethod
    def _launch(self, port: int) -> LaunchCommand: ...

    @abstractmethod
    def _is_ready(self, port: int, pid: int) -> bool: ...

    @property
    def _running(self) -> ServerProcess:
        if self._child is None:
            raise SandboxError(f"{self.name} does not run")
        return self._child

    def _start_on(self, port: int) -> bool:
        child = ServerProcess(self._launch(port))
        try:
            child.wait_until(
                lambda: self._is_ready(port, child.pid), timeout_s=self.start_timeout_s
            )
        except BaseException as error:
            child.kill(self.kill_signal)
            is_lost_race = isinstance(error, SandboxError) and child.lost_its_port()
            if is_lost_race and not self._port:
                return False
            raise
        self._child = child
        return True
