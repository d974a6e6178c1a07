"""Starts Python commands from a process that has already imported the worker.

Importing a worker takes seconds of CPU, and the tests start a hundred of them. The fork server
imports once and forks for each command: `python -m module`, `python -c code`, or a script. The
forked process gets its own environment, directory, standard streams, default signals and exit
code, and none of the server's sockets. Some tests run the same commands as processes of their
own, so that the imports are tested too.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol, Self

ROOT = Path(__file__).parents[2]
# What the commands import, except the modules that are run as commands.
PRELOADED = (
    "alembic.command",
    "arq.cli",
    "imagegen.cli",
    "imagegen.cli.host_table",
    "imagegen.sandbox.comfyui.standalone",
    "imagegen.sandbox.demo.demo",
    "imagegen.sandbox.telegram.standalone",
    "imagegen.worker",
    "rich.console",
    "tests",
)
_STOPPED, _CONTINUED = "stopped", "continued"


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
            if word in (_STOPPED, _CONTINUED):
                self._is_stopped = word == _STOPPED
            else:
                self.returncode = int(word)
        if not received and self.returncode is None:
            raise RuntimeError("the fork server has ended")
        if self.returncode is not None:
            self._status.close()


class ForkServer:
    """A running fork server; what it has forked ends with the block, or with the test process."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._control: socket.socket

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._control, theirs = socket.socketpair()
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    cwd=ROOT,
                    env={"PATH": os.environ["PATH"]},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            stack.enter_context(server)
            stack.enter_context(self._control)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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
        request = {"command": list(command), "environment": dict(env), "directory": str(cwd)}
        _runner(command)
        status, theirs = socket.socketpair()
        with theirs, Path(os.devnull).open("rb") as devnull:
            socket.send_fds(
                self._control, [b"\n"], [theirs.fileno(), devnull.fileno(), stdout, stderr]
            )
            status.sendall(json.dumps(request).encode() + b"\n")
        return ForkedProcess(int(_line(status)), status, command)

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


@functools.cache
def shared() -> ForkServer:
    """Return the server of this test process, which starts at the first call."""
    server = ForkServer()
    atexit.register(server.__exit__)
    return server.__enter__()


class _Server:
    """The server process: forks on request and reports the status of its children."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._woken, self._waker = socket.socketpair()
        self._status: dict[int, socket.socket] = {}

    def serve(self) -> Callable[[], object] | None:
        """Serve until the test process ends. In a forked child, return what it has to run."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(1024)
                self._report_children()
            if self._control in readable:
                received, descriptors, *_ = socket.recv_fds(self._control, 1, 4)
                if not received:
                    self._kill_all()
                    return None
                if (run := self._fork(descriptors)) is not None:
                    return run

    def _fork(self, descriptors: list[int]) -> Callable[[], object] | None:
        status = socket.socket(fileno=descriptors[0])
        streams = descriptors[1:]
        request = json.loads(_line(status))
        pid = os.fork()
        if pid == 0:
            status.close()
            return self._set_up_child(request, streams)
        for each in streams:
            os.close(each)
        self._status[pid] = status
        _send(status, str(pid))
        return None

    def _set_up_child(self, request: dict[str, Any], streams: list[int]) -> Callable[[], object]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for each in (self._control, self._woken, self._waker, *self._status.values()):
            each.close()
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path[1:1] = [each for each in os.environ.get("PYTHONPATH", "").split(":") if each]
        return _runner(request["command"])

    def _kill_all(self) -> None:
        for pid in self._status:
            os.kill(pid, signal.SIGKILL)

    def _report_children(self) -> None:
        for pid in list(self._status):
            ended, wait_status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if ended == 0:
                continue
            if os.WIFSTOPPED(wait_status) or os.WIFCONTINUED(wait_status):
                _send(self._status[pid], _STOPPED if os.WIFSTOPPED(wait_status) else _CONTINUED)
                continue
            with self._status.pop(pid) as status:
                _send(status, str(os.waitstatus_to_exitcode(wait_status)))


def _runner(command: Sequence[str]) -> Callable[[], object]:
    """Return a function that runs a command as Python would."""
    match command:
        case [sys.executable, "-m", name, *arguments]:
            return lambda: _run_module(name, arguments)
        case [sys.executable, "-c", code, *arguments]:
            return lambda: _run_code(code, arguments)
        case [script, *arguments] if Path(script).parent == Path(sys.executable).parent:
            return lambda: _run_script(script, arguments)
        case _:
            raise ValueError(f"not a Python command: {command}")


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = [name, *arguments], str(Path.cwd())
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = ["-c", *arguments], ""
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 (python -c)


def _run_script(script: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = [script, *arguments], str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


def _content(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


def _line(status: socket.socket) -> bytes:
    with status.makefile("rb") as lines:
        return lines.readline()


def _send(status: socket.socket, line: str) -> None:
    with suppress(BrokenPipeError):  # the test no longer reads from it
        status.sendall(line.encode() + b"\n")


if __name__ == "__main__":
    for each in PRELOADED:
        importlib.import_module(each)
    # What a worker builds and reads in its first second.
    shipped = importlib.import_module("imagegen.resources").path("workflows")
    importlib.import_module("imagegen.workflows.screening").screened_workflows(shipped)
    gc.collect()
    gc.freeze()
    if run := _Server(socket.socket(fileno=int(sys.argv[1]))).serve():
        # At module level, so that it ends as any program does.
        run()
