"""A private PgBouncer in front of the test's PostgreSQL, where the program is installed."""

import os
import shutil
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import make_url

from imagegen.sandbox.servers.process import LaunchCommand, unprivileged
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.workdir import private_directory

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer(Server):
    """PgBouncer with a few connections to the server of `database_url`, for any of its databases.

    `pool_mode` is PgBouncer's: session, transaction or statement.
    """

    name = "PgBouncer"
    # Without waiting for the clients.
    stop_signal = signal.SIGTERM

    def __init__(self, database_url: str, *, pool_mode: str = "transaction") -> None:
        super().__init__()
        self._target = make_url(database_url)
        self._pool_mode = pool_mode
        self._directory = Path()

    @property
    def url(self) -> str:
        """The address of the same database through PgBouncer."""
        through = self._target.set(host="127.0.0.1", port=self.port)
        return through.render_as_string(hide_password=False)

    def _prepare(self, ends: ExitStack) -> None:
        self._directory = ends.enter_context(private_directory(unprivileged()))

    def _launch(self, port: int) -> LaunchCommand:
        assert PROGRAM is not None
        target = self._target
        users = self._write("users.txt", f'"{target.username}" "{target.password}"\n')
        configuration = self._write(
            "pgbouncer.ini",
            f"[databases]\n* = host={target.host} port={target.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\n"
            f"pool_mode = {self._pool_mode}\ndefault_pool_size = 2\n",
        )
        return LaunchCommand(
            name=self.name,
            directory=self._directory,
            command=[PROGRAM, str(configuration)],
            account=unprivileged(),
            # Where its libraries are, if they are not in their usual place.
            environment={"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")},
        )

    def _is_ready(self, port: int, pid: int) -> bool:  # noqa: ARG002 (the port was free)
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def _write(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text)
        path.chmod(0o600)
        if (account := unprivileged()) is not None:
            os.chown(path, account.uid, account.gid)
        return path
