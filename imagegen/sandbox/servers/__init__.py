"""Private PostgreSQL and Valkey servers, from wheels."""

from imagegen.sandbox.servers.servers import Servers, running_servers

__all__ = ["Servers", "running_servers"]
