"""Starts Python commands from a process that has already imported the worker.

Importing a worker takes seconds of CPU, and the tests start a hundred of them. A fork server
(tests/support/fork_server_process.py) imports once and forks for each command: `python -m module`,
`python -c code`, or a script. The forked process gets its own environment, directory, standard
streams, default signals and exit code, and none of the server's sockets. Some tests run the same
commands as processes of their own, so that the imports are tested too.

The processes of one run of xdist share a fork server, and are forked themselves, from a second one
that has imported the tests.
"""

import atexit
import functools
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, Self

from tests.support import fork_server_process, forked_python

ROOT = Path(__file__).parents[2]
_ADDRESS = "TESTS_FORK_SERVER"


class Process(Protocol):
    """What tests use of a process, forked or not."""

    @property
    def pid(self) -> int: ...

    @property
    def is_stopped(self) -> bool: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


class OwnProcess(subprocess.Popen[bytes]):
    """A process that imports everything itself."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped it and it was not continued since."""
        options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        return self.poll() is None and os.waitid(os.P_PID, self.pid, options) is not None


class ForkedProcess:
    """A process of the fork server, with the part of `subprocess.Popen` that tests use.

    It is a child of the server, which reports its exit code, and that a signal has stopped it.
    """

    def __init__(self, pid: int, status: socket.socket, command: Sequence[str]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._is_stopped = False
        self._status = status
        self._command = command
        self._unread = b""
        self._reading = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped it and it was not continued since."""
        return self.poll() is None and self._is_stopped

    def poll(self) -> int | None:
        """Return the exit code, the negative number of the signal that ended it, or None."""
        with self._reading:
            while self.returncode is None and select.select([self._status], [], [], 0)[0]:
                self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; may be called again.

        Raises:
            subprocess.TimeoutExpired: it runs longer than `timeout` seconds.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if ends is None else ends - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            select.select([self._status], [], [], left)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> None:
        received = self._status.recv(1024)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            word = line.decode()
            if word in (fork_server_process.STOPPED, fork_server_process.CONTINUED):
                self._is_stopped = word == fork_server_process.STOPPED
            else:
                self.returncode = int(word)
        if not received and self.returncode is None:
            raise RuntimeError("the fork server has ended")
        if self.returncode is not None:
            self._status.close()


class ForkServer:
    """A fork server at the address of a Unix socket; what it has forked ends with the caller."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def python(self) -> str:
        """A command that takes `-c CODE` as Python does, and runs it in a fork."""
        return shlex.join([sys.executable, "-I", "-S", forked_python.__file__, self.address])

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdout: int,
        stderr: int,
    ) -> ForkedProcess:
        """Fork a process that runs a Python command; its stdin is empty.

        `stdout` and `stderr` are file descriptors.

        Raises:
            ValueError: it is not a Python command.
        """
        fork_server_process.runner(command)
        request = {"command": list(command), "environment": dict(env), "directory": str(cwd)}
        with ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(self.address)
            with Path(os.devnull).open("rb") as devnull:
                socket.send_fds(connection, [b"\n"], [devnull.fileno(), stdout, stderr])
            connection.sendall(json.dumps(request).encode() + b"\n")
            process = ForkedProcess(
                int(fork_server_process.line_of(connection)), connection, command
            )
            stack.pop_all()
        return process

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python command to its end, as `subprocess.run` does, and return what it wrote.

        Raises:
            subprocess.TimeoutExpired: it ran longer than `timeout` seconds, and was killed.
        """
        with RecordedCommand(self, command, env=env, cwd=cwd) as started:
            code = started.process.wait(timeout)
            return subprocess.CompletedProcess(command, code, started.stdout, started.stderr)


class RecordedCommand:
    """A forked command and what it has written so far; the end of the block kills it."""

    def __init__(
        self, server: ForkServer, command: Sequence[str], *, env: Mapping[str, str], cwd: Path
    ) -> None:
        self._files = ExitStack()
        self._out, self._err = (
            self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (closed by the stack)
            for _ in range(2)
        )
        self.process = server.start(
            command, env=env, cwd=cwd, stdout=self._out.fileno(), stderr=self._err.fileno()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._files.close()

    @property
    def stdout(self) -> str:
        return _content(self._out.fileno())

    @property
    def stderr(self) -> str:
        return _content(self._err.fileno())


@contextmanager
def running(*tests: str, env: Mapping[str, str]) -> Iterator[ForkServer]:
    """Run a fork server that has imported the worker, or the test modules of those paths."""
    with ExitStack() as stack:
        # Not in TMPDIR: the address of a Unix socket has 104 bytes at most.
        home = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
        # The server ends when its end of this pair is the last one open.
        ours, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address := f"{home}/socket")
            listener.listen()
            descriptors = [listener.fileno(), theirs.fileno()]
            server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    fork_server_process.__name__,
                    *map(str, descriptors),
                    *tests,
                ],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
            )
        stack.enter_context(server)
        stack.enter_context(ours)
        yield ForkServer(address)


@contextmanager
def shared_by_processes(*tests: str) -> Iterator[str]:
    """Run what the processes of xdist share; yield what stands for Python in their start."""
    with (
        running(env={"PATH": os.environ["PATH"]}) as commands,
        running(*tests, env=os.environ) as processes,
    ):
        os.environ[_ADDRESS] = commands.address
        yield processes.python


@functools.cache
def shared() -> ForkServer:
    """Return the server of this run of the tests; without xdist it starts at the first call."""
    if _ADDRESS in os.environ:
        return ForkServer(os.environ[_ADDRESS])
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running(env={"PATH": os.environ["PATH"]}))


def _content(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()
