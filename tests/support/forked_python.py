"""Python for xdist: `python forked_python.py SOCKET -u -c CODE` runs the code in a fork.

SOCKET is the address of a fork server (tests/support/fork_server_process.py). It is run without site-packages,
and costs nothing beside the seconds that importing all tests takes.
"""

import json
import os
import signal
import socket
import sys


def main() -> int:
    address, *command = sys.argv[1:]
    # Ctrl-C is for the process that it stands for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = {
        "command": [sys.executable, *(each for each in command if each != "-u")],
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109 (pathlib takes as long to import as all the rest)
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as lines:
            *_, last = lines
    code = int(last)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
