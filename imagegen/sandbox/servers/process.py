"""One server process of ours: under which account it runs, started, watched, frozen, ended."""

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
    uid: int
    gid: int


def unprivileged() -> UnixAccount | None:
    """Return the existing account `nobody` when we are root, None when we are not."""
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
    """Say whether the account may enter the directory `path` and look into it."""
    real = path.resolve()
    return all(_enters(account, step) for step in (real, *real.parents))


def _enters(account: UnixAccount, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


# Nothing of the caller's: PGDATA and its like would be obeyed. The words of C are the ones we know.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, kw_only=True)
class LaunchCommand:
    """What to start: `name` for errors, log and pid note live in `directory`.

    `environment` is all that the server sees; it works in `directory` if `at_home`.
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
        who = self.account
        account = ("-", "-") if who is None else (str(who.uid), str(who.gid))
        script = [sys.executable, "-I", "-S", drop_privileges.__file__]
        return [*script, *account, str(os.getpid()), str(int(self.death_signal)), *self.command]


class ServerProcess:
    """A running server; `end` or `kill` must be called, and may be called again."""

    def __init__(self, launch: LaunchCommand) -> None:
        if threading.current_thread() is not threading.main_thread():
            # The death signal comes when the thread that forked ends.
            raise SandboxError(f"start {launch.name} from the main thread, or it ends with yours")
        self._launch = launch
        with launch.log.open("wb") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                launch.argv(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the application first, which then ends its servers.
                start_new_session=True,
                env=launch.environment,
                cwd=launch.directory if launch.at_home else None,
            )
        launch.pid_note.write_text(f"{self.pid} {process_birth(self.pid)}")
        self._feed()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return once `ready` says so; raise SandboxError with the log's last lines otherwise."""
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
        """Return once a program that ends by itself has done so; raise SandboxError if it failed."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{self._launch.name} took over {timeout_s:g} s") from error
        if code:
            raise SandboxError(f"{self._launch.name} failed: {self.last_words()}")

    def last_words(self) -> str:
        lines = self._launch.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-6:]) or "its log is empty"

    def lost_its_port(self) -> bool:
        return "Address already in use" in self._launch.log.read_text(errors="replace")

    def freeze(self) -> None:
        """Stop the server and its children, so that connections stay open and silent."""
        if self.is_running:
            for pid in (self.pid, *descendants_of(self.pid)):
                _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_running:
            for pid in (*descendants_of(self.pid), self.pid):
                _signal(pid, signal.SIGCONT)

    def end(self, how: signal.Signals, *, timeout_s: float = 10) -> None:
        """Ask the server to end, also when frozen; kill it when it does not."""
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
        """End the server as a crash does: its children, and so its connections, first."""
        self.freeze()
        if self.is_running:
            for pid in descendants_of(self.pid):
                _signal(pid, signal.SIGKILL)
        self.end(how)

    def _feed(self) -> None:
        pipe = self._popen.stdin
        if pipe is not None:
            with suppress(BrokenPipeError), pipe:
                pipe.write(self._launch.stdin)


def process_birth(pid: int) -> str:
    """Return what tells this process from a later one with the same number; empty if it ended."""
    if sys.platform == "linux":
        state = _state_of(pid)
        # A dead one may wait long for an init process that does not care.
        return state[19] if state and state[0] != "Z" else ""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed command


def is_same(pid: int, born_then: str) -> bool:
    """Say whether the process that was born then still is this one."""
    return born_then != "" and process_birth(pid) == born_then


def descendants_of(pid: int) -> list[int]:
    """Return the process numbers of children, grandchildren and so on, parents first."""
    found = [pid]
    parents = _parents()
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def kill_and_wait(pid: int, *, timeout_s: float = 5) -> None:
    """End somebody else's child and its children, even if they are stopped."""
    for child in descendants_of(pid):
        _signal(child, signal.SIGKILL)
    # PostgreSQL takes this as "at once, but remove the shared memory", the others just end.
    first, deadline = process_birth(pid), time.monotonic() + timeout_s
    for what in (signal.SIGQUIT, signal.SIGCONT):
        _signal(pid, what)
    while is_same(pid, first) and time.monotonic() < deadline:
        time.sleep(0.01)
    if is_same(pid, first):
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
        # The program's name comes before, in brackets, and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _signal(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
