"""Private PostgreSQL and Valkey servers for the demo and the tests, with nothing left behind."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Addresses as the environment would name them; empty for a server that was not asked for."""

    database_url: str
    redis_url: str


@contextmanager
def running_servers(*, postgres: bool = True, valkey: bool = True) -> Iterator[Servers]:
    """Run the servers on free ports of loopback; enter it in the main thread.

    On Linux they end with that thread however it ends. Elsewhere, and for the directories, the
    next start sweeps what a killed owner left. Raises SandboxError with one line.
    """
    with ExitStack() as stack:
        yield Servers(
            database_url=stack.enter_context(PostgresServer()).url if postgres else "",
            redis_url=stack.enter_context(ValkeyServer()).url if valkey else "",
        )
