"""PostgreSQL that answers and refuses to write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_END_ALL_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def read_only(url: str) -> AsyncIterator[None]:
    """Make all sessions read-only during the block, as a standby or a full disk does."""
    await _execute(url, "ALTER SYSTEM SET default_transaction_read_only = on")
    await _execute(url, "SELECT pg_reload_conf()")
    yield
    await _execute(url, "ALTER SYSTEM RESET default_transaction_read_only")
    await _execute(url, "SELECT pg_reload_conf()")


@asynccontextmanager
async def sessions_stay_read_only(url: str) -> AsyncIterator[None]:
    """End all sessions; those that begin during the block are read-only for as long as they live.

    So it is after a failover for whoever has connected to the old primary: new connections can
    write again, and only these.
    """
    await _execute(url, "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on")
    await _execute(url, _END_ALL_OTHERS)
    yield
    await _execute(url, "ALTER ROLE CURRENT_USER RESET default_transaction_read_only")


async def _execute(url: str, statement: str) -> None:
    # What a client asks for at its connect has precedence over the role and the configuration.
    can_write = {"default_transaction_read_only": "off"}
    connection = await asyncpg.connect(url, timeout=10, server_settings=can_write)
    try:
        await connection.execute(statement, timeout=10)
    finally:
        await connection.close(timeout=10)
