"""The process that forks for each command; tests/support/fork_server.py starts it and asks it.

    python -m tests.support.fork_server_process LISTENER OWNER [TEST ...]

Both are file descriptors: a listening Unix socket, and one that ends when the owner does. Each
connection asks for one process. It sends a byte with the descriptors of stdin, stdout and stderr,
then a line of JSON. It gets lines back: the pid, `stopped` and `continued`, and at last the exit
code. When it is closed before that, its process is killed.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

STOPPED, CONTINUED = "stopped", "continued"

# What the commands import, except the modules that are run as commands.
_PRELOADED = (
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


def runner(command: Sequence[str]) -> Callable[[], object]:
    """Return a function that runs a command as Python would.

    Raises:
        ValueError: it is not a Python command.
    """
    match command:
        case [sys.executable, "-m", name, *arguments]:
            return lambda: _run_module(name, arguments)
        case [sys.executable, "-c", code, *arguments]:
            return lambda: _run_code(code, arguments)
        case [script, *arguments] if Path(script).parent == Path(sys.executable).parent:
            return lambda: _run_script(script, arguments)
        case _:
            raise ValueError(f"not a Python command: {command}")


def line_of(connection: socket.socket) -> bytes:
    """Read one line, and nothing of what follows it."""
    line = b""
    while not line.endswith(b"\n") and (received := connection.recv(1)):
        line += received
    return line


class _Server:
    """Forks on request and reports the status of its children."""

    def __init__(self, listener: socket.socket, owner: socket.socket) -> None:
        self._listener = listener
        self._owner = owner
        self._woken, self._waker = socket.socketpair()
        # The connection of each child, until it has ended.
        self._connections: dict[int, socket.socket] = {}

    def serve(self) -> Callable[[], object] | None:
        """Serve until the owner ends. In a forked child, return what it has to run."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        while True:
            fixed = (self._owner, self._woken, self._listener)
            readable, _, _ = select.select([*fixed, *self._connections.values()], [], [])
            if self._owner in readable:
                self._kill(self._connections)
                return None
            # Nobody writes on them after the request.
            self._kill(pid for pid, each in self._connections.items() if each in readable)
            if self._woken in readable:
                self._woken.recv(1024)
                self._report_children()
            if self._listener in readable and (run := self._fork()) is not None:
                return run

    def _fork(self) -> Callable[[], object] | None:
        connection, _ = self._listener.accept()
        _, streams, *_ = socket.recv_fds(connection, 1, 3)
        request = json.loads(line_of(connection))
        pid = os.fork()
        if pid == 0:
            connection.close()
            return self._set_up_child(request, streams)
        for each in streams:
            os.close(each)
        self._connections[pid] = connection
        _send(connection, str(pid))
        return None

    def _set_up_child(self, request: dict[str, Any], streams: list[int]) -> Callable[[], object]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        fixed = (self._listener, self._owner, self._woken, self._waker)
        for each in (*fixed, *self._connections.values()):
            each.close()
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path[1:1] = [each for each in os.environ.get("PYTHONPATH", "").split(":") if each]
        return runner(request["command"])

    def _kill(self, pids: Iterable[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def _report_children(self) -> None:
        for pid in list(self._connections):
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if ended == 0:
                continue
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                _send(self._connections[pid], STOPPED if os.WIFSTOPPED(status) else CONTINUED)
                continue
            with self._connections.pop(pid) as connection:
                _send(connection, str(os.waitstatus_to_exitcode(status)))


def _send(connection: socket.socket, line: str) -> None:
    with suppress(BrokenPipeError):  # the test no longer reads from it
        connection.sendall(line.encode() + b"\n")


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = [name, *arguments], str(Path.cwd())
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = ["-c", *arguments], ""
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 (python -c)


def _run_script(script: str, arguments: list[str]) -> None:
    sys.argv, sys.path[0] = [script, *arguments], str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


def _run_to_its_end(run: Callable[[], object]) -> None:
    """Run a command, and end as a program does, except that the modules stay as they are.

    Python would clear them one by one, and so copy the 90 MB that a process shares with the server.
    """
    code: object = None
    try:
        run()
    except SystemExit as error:
        code = error.code
    if code is None or isinstance(code, int):
        threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls
        atexit._run_exitfuncs()
        gc.collect()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit((code or 0) & 0xFF)
    sys.exit(code)  # type: ignore[arg-type]


def _prepare_for_commands() -> None:
    for each in _PRELOADED:
        importlib.import_module(each)
    # What a worker builds and reads in its first second.
    shipped = importlib.import_module("imagegen.resources").path("workflows")
    importlib.import_module("imagegen.workflows.screening").screened_workflows(shipped)
    importlib.import_module("imagegen.prompts.template").shipped_template()


def _prepare_for_tests(tests: list[str]) -> None:
    # A process of xdist does this again, and finds all modules imported. Not captured: what a module
    # keeps of sys.stdout at its import would be closed.
    pytest.main(["--collect-only", "--quiet", "--capture=no", "-n0", "-pno:cacheprovider", *tests])


if __name__ == "__main__":
    listener, owner, *tests = sys.argv[1:]
    if tests:
        _prepare_for_tests(tests)
    else:
        _prepare_for_commands()
    gc.collect()
    gc.freeze()
    if run := _Server(*(socket.socket(fileno=int(each)) for each in (listener, owner))).serve():
        _run_to_its_end(run)
