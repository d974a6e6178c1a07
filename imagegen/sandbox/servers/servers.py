"""Private PostgreSQL and Valkey servers for the demo and the tests; nothing is left behind."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer


@dataclass(frozen=True, kw_only=True)
class Servers:
    """URLs as in the environment variables; empty for a server that was not asked for."""

    database_url: str
    redis_url: str


@contextmanager
def running_servers(*, postgres: bool = True, valkey: bool = True) -> Iterator[Servers]:
    """Run the servers on free ports of 127.0.0.1; enter it in the main thread.

    On Linux they end with that thread, however it ends. On other systems the next start ends the
    servers of an owner that was killed, and on all systems it removes their directories.

    Raises:
        SandboxError: a server cannot start; the message is one line.
    """
    with ExitStack() as stack:
        yield Servers(
            database_url=stack.enter_context(PostgresServer()).url if postgres else "",
            redis_url=stack.enter_context(ValkeyServer()).url if valkey else "",
        )
