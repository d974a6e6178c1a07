"""One server process: its account, its start, how it is watched, frozen and ended."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.servers import drop_privileges


@dataclass(frozen=True, kw_only=True)
class UnixAccount:
    """A user and group id."""

    uid: int
    gid: int


def unprivileged() -> UnixAccount | None:
    """Return the existing account `nobody` if we are root, None if we are not.

    Raises:
        SandboxError: we are root and there is no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise SandboxError(
            "PostgreSQL does not run as root and there is no user `nobody`: "
            "start this as an ordinary user"
        ) from error
    return UnixAccount(uid=nobody.pw_uid, gid=nobody.pw_gid)


def reaches(account: UnixAccount, path: Path) -> bool:
    """Tell whether the account may enter the directory `path` and all its parents."""
    real = path.resolve()
    return all(_may_enter(account, step) for step in (real, *real.parents))


def _may_enter(account: UnixAccount, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


# None of the caller's variables: the server would use PGDATA, for example. LC_ALL=C, since we
# search the log for English messages.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, kw_only=True)
class LaunchCommand:
    """What to start.

    Args:
        name: the server's name in errors, and of its log and pid file.
        directory: where the log and the pid file are.
        command: the program and its arguments.
        account: the account that it runs under; None is our own.
        death_signal: sent by the kernel when its parent thread ends (Linux only).
        stdin: bytes that it reads at its start.
        environment: all environment variables that it has.
        at_home: whether `directory` is its working directory.
    """

    name: str
    directory: Path
    command: Sequence[str]
    account: UnixAccount | None = None
    death_signal: signal.Signals = signal.SIGKILL
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    at_home: bool = False

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def pid_note(self) -> Path:
        return self.directory / f"{self.name}.pid"

    def argv(self) -> list[str]:
        """Return the arguments, with drop_privileges.py before the command."""
        account = self.account
        ids = ("-", "-") if account is None else (str(account.uid), str(account.gid))
        script = [sys.executable, "-I", "-S", drop_privileges.__file__]
        return [*script, *ids, str(os.getpid()), str(int(self.death_signal)), *self.command]


class ServerProcess:
    """A running server. Its owner must call `end` or `kill`, which may be called again.

    Raises:
        SandboxError: created outside of the main thread: the death signal is sent when the thread
            that forked ends.
    """

    def __init__(self, launch: LaunchCommand) -> None:
        if threading.current_thread() is not threading.main_thread():
            # The kernel sends the death signal when the thread that forked ends, not the process.
            raise SandboxError(f"start {launch.name} from the main thread, or it ends with yours")
        self._launch = launch
        with launch.log.open("wb") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                launch.argv(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C must reach only the application, which then ends its servers.
                start_new_session=True,
                env=launch.environment,
                cwd=launch.directory if launch.at_home else None,
            )
        launch.pid_note.write_text(f"{self.pid} {process_birth(self.pid)}")
        self._write_stdin()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether it has ended by a signal, such as SIGKILL, and not by itself."""
        code = self._popen.poll()
        return code is not None and code < 0

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until `ready` returns True.

        Raises:
            SandboxError: the server ended, or `timeout_s` passed; the message ends with its log.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.is_running:
                raise SandboxError(f"{self._launch.name} ended at its start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{self._launch.name} was not ready after {timeout_s:g} s: {self.last_words()}"
                )
            time.sleep(0.01)

    def wait(self, *, timeout_s: float) -> None:
        """Wait until a program that ends by itself has ended.

        Raises:
            SandboxError: it failed, or took longer than `timeout_s`.
        """
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{self._launch.name} took over {timeout_s:g} s") from error
        if code:
            raise SandboxError(f"{self._launch.name} failed: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last 6 lines of its log as one line."""
        lines = self._launch.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-6:]) or "its log is empty"

    def lost_its_port(self) -> bool:
        return "Address already in use" in self._launch.log.read_text(errors="replace")

    def freeze(self) -> None:
        """Stop the server and its children (SIGSTOP): connections stay open and silent."""
        if self.is_running:
            for pid in (self.pid, *descendants_of(self.pid)):
                _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_running:
            for pid in (*descendants_of(self.pid), self.pid):
                _signal(pid, signal.SIGCONT)

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None:
        """Ask the server to end, frozen or not; kill it after `timeout_s`."""
        if self.is_running:
            _signal(self.pid, how)
            self.thaw()
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._launch.pid_note.unlink(missing_ok=True)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the server as a crash does.

        Its children, and so its connections, are killed first.
        """
        self.freeze()
        if self.is_running:
            for pid in descendants_of(self.pid):
                _signal(pid, signal.SIGKILL)
        self.end(how)

    def _write_stdin(self) -> None:
        pipe = self._popen.stdin
        if pipe is not None:
            with suppress(BrokenPipeError), pipe:
                pipe.write(self._launch.stdin)


def process_birth(pid: int) -> str:
    """Return the start time of a process, as text; empty if it has ended.

    It tells the process from a later one with the same pid.
    """
    if sys.platform == "linux":
        state = _state_of(pid)
        # A zombie may stay for long in a container whose init process does not reap.
        return state[19] if state and state[0] != "Z" else ""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed command


def is_same(pid: int, start_time: str) -> bool:
    """Tell whether the process with that pid is the one that started then."""
    return start_time != "" and process_birth(pid) == start_time


def descendants_of(pid: int) -> list[int]:
    """Return the pids of children, grandchildren and so on, parents first."""
    found = [pid]
    parents = _parents()
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def kill_and_wait(pid: int, *, timeout_s: float = 5) -> None:
    """Kill a process that is not our child, and its children, even if they are stopped."""
    for child in descendants_of(pid):
        _signal(child, signal.SIGKILL)
    # On SIGQUIT PostgreSQL ends at once and removes its shared memory; other programs just end.
    birth, deadline = process_birth(pid), time.monotonic() + timeout_s
    for number in (signal.SIGQUIT, signal.SIGCONT):
        _signal(pid, number)
    while is_same(pid, birth) and time.monotonic() < deadline:
        time.sleep(0.01)
    if is_same(pid, birth):
        _signal(pid, signal.SIGKILL)


def _parents() -> dict[int, int]:
    if sys.platform == "linux":
        numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        states = [(number, _state_of(number)) for number in numbers]
        return {number: int(state[1]) for number, state in states if state}
    command = ["/bin/ps", "-A", "-o", "pid=,ppid="]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed command
    return {int(pid): int(parent) for pid, parent in map(str.split, listed.stdout.splitlines())}


def _state_of(pid: int) -> list[str]:
    with suppress(OSError):
        # The program's name comes before it, in brackets, and may hold any characters.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
