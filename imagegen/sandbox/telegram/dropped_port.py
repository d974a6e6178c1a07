"""A port at which connects get no answer, as behind a firewall that drops packets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

# A listener without a backlog holds one connection that nobody accepts; then the kernel drops each
# further SYN. The others stand for connects that were under way meanwhile.
_CONNECTS = 4


@contextmanager
def dropped_port(port: int) -> Iterator[None]:
    """Hold a free port of 127.0.0.1, so that connects to it neither succeed nor are refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(_CONNECTS):
            connecting = stack.enter_context(socket.socket())
            connecting.setblocking(False)
            with suppress(BlockingIOError):
                connecting.connect(("127.0.0.1", port))
        yield
