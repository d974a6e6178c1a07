"""Databases as an operator may leave them: read-only, of another encoding, without a right."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import make_url

from tests.support import schema_dump


async def make_read_only(database_url: str, *, is_read_only: bool) -> None:
    """Let new connections be read-only, as to a standby, or not any more; open ones stay as they are."""
    name = make_url(database_url).database
    setting = "SET default_transaction_read_only = on" if is_read_only else "RESET ALL"
    await schema_dump.execute(
        database_url, f"SET transaction_read_only = off; ALTER DATABASE {name} {setting}"
    )


@asynccontextmanager
async def locked_table(database_url: str) -> AsyncIterator[int]:
    """Lock the table of requests while the block runs; give the number of the session's process."""
    session = await asyncpg.connect(database_url, server_settings={"application_name": "an admin"})
    try:
        async with session.transaction():
            await session.execute("LOCK TABLE image_requests")
            # Also the last statement of a session may have what people wrote.
            await session.execute("SELECT relname FROM pg_class WHERE relname = 'a secret of mine'")
            yield session.get_server_pid()
    finally:
        await session.close()


@asynccontextmanager
async def database_of_encoding(database_url: str, encoding: str) -> AsyncIterator[str]:
    """Give the address of an empty database of another encoding, on the same server."""
    name = f"imagegen_test_{secrets.token_hex(6)}"
    how = f"ENCODING '{encoding}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    await schema_dump.execute(database_url, f"CREATE DATABASE {name} {how}")
    try:
        yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
    finally:
        await schema_dump.execute(database_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def weak_role(database_url: str, *grants: str, limit: int = -1) -> AsyncIterator[str]:
    """Give the address as a role that has been granted only what `grants` say, such as SELECT ON x.

    `limit`: how many connections it may have, -1 for no limit.
    """
    role, password = f"imagegen_test_{secrets.token_hex(6)}", secrets.token_hex(8)
    await schema_dump.execute(
        database_url,
        f"CREATE ROLE {role} LOGIN PASSWORD '{password}' CONNECTION LIMIT {limit};"
        + "".join(f"GRANT {grant} TO {role};" for grant in grants),
    )
    try:
        url = make_url(database_url).set(username=role, password=password)
        yield url.render_as_string(hide_password=False)
    finally:
        await schema_dump.execute(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
