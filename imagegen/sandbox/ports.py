"""Free ports for servers that cannot report which port the system gave them."""

import errno
import random
import socket
from collections.abc import Iterator

# Below the ephemeral ports that kernels give to outgoing connections. In that range a server that
# restarts could find its port taken by an outgoing connection, and a client that connects to the
# port of a stopped server could be connected to itself.
_RANGE = range(15_000, 32_000)


def free_ports() -> Iterator[int]:
    """Yield ports of 127.0.0.1 on which nothing listens, up to 200 attempts at random.

    Another process may take a port before the caller binds it: then ask for the next one.
    """
    for _ in range(200):
        port = random.SystemRandom().choice(_RANGE)
        if is_free(port):
            yield port


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be bound now."""
    with socket.socket() as probe:
        # The servers set this too, so a connection in TIME_WAIT does not make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
