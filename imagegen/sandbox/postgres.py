"""A private PostgreSQL on loopback, from a wheel."""

import secrets
import signal
from contextlib import ExitStack

from imagegen.sandbox.account import unprivileged
from imagegen.sandbox.child import Launch
from imagegen.sandbox.cluster import Cluster, make_cluster
from imagegen.sandbox.server import Server

_USER = "imagegen"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No socket file: its path may be too long, and nobody needs it.
    "unix_socket_directories": "",
    # The data goes when the machine goes, so nothing waits for a disk. Commits stay synchronous:
    # without fsync that costs next to nothing, and a killed server keeps what it has confirmed.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # In the data directory, so that it is swept with it.
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
}


class PostgresServer(Server):
    """A server whose database `postgres` is empty; run by us, or by `nobody` when we are root."""

    name = "PostgreSQL"
    # Ends connections instead of waiting for them.
    stop_signal = signal.SIGINT
    # Removes its shared memory, writes nothing else.
    kill_signal = signal.SIGQUIT

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.token_urlsafe(24)
        self._cluster: Cluster

    @property
    def url(self) -> str:
        """Return the address of the empty database; other databases differ in the path."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def _prepare(self, ends: ExitStack) -> None:
        self._cluster = make_cluster(
            ends, account=unprivileged(), user=_USER, password=self._password
        )

    def _launch(self, port: int) -> Launch:
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        program, data = self._cluster.programs / "postgres", self._cluster.data
        return Launch(
            name=self.name,
            directory=self._cluster.directory,
            command=[str(program), "-D", str(data), "-p", str(port), *settings],
            account=self._cluster.account,
            death_signal=self.kill_signal,
        )

    def _answers(self, port: int, pid: int) -> bool:  # noqa: ARG002 - its note is by pid
        return self._cluster.is_served_by(pid)
