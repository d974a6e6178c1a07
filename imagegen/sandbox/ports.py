"""Free ports for servers that cannot report which one they got."""

import errno
import random
import socket
from collections.abc import Iterator

# Below what kernels hand out by themselves: there, a restart can find its port taken by some
# outgoing connection, and a client that dials a dead server's port can end up talking to itself.
_RANGE = range(15_000, 32_000)


def free_ports() -> Iterator[int]:
    """Yield ports of loopback that nobody listens on; the next one is for a lost race."""
    for _ in range(200):
        port = random.SystemRandom().choice(_RANGE)
        if _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do, so that connections of the past don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
