"""PostgreSQL: whether it lets us in, takes writes, is migrated, grants enough, and has connections left."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import sqlstates
from chatflow_hook.database_url import Address
from chatflow_hook.database_url import parse as parse_database_url
from imagegen.db.database_check import read_lacks, try_to_write
from imagegen.db.engine import DEFAULT_POOL_SIZE, connect, run_statement
from imagegen.db.revisions import revisions
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, tls_advice, yellow
from imagegen.errors import Unavailable

# What a worker opens: its pool, and one for its checks.
_WORKER_CONNECTIONS = DEFAULT_POOL_SIZE + 1
# The types of other roles' backends are hidden from a role without pg_read_all_stats. Those that have
# a user and a database are clients, but for the workers of a parallel query.
_STATE = text(
    """
    SELECT current_user AS role, current_setting('server_version') AS version,
           pg_backend_pid() AS pid,
           current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections,
           (SELECT count(*) FROM pg_stat_activity
            WHERE coalesce(backend_type, 'client backend') = 'client backend'
            AND usesysid IS NOT NULL AND datid IS NOT NULL) AS used,
           (SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'chatflow-imagegen' AND pid <> pg_backend_pid()) AS ours,
           rolconnlimit AS role_connections,
           (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) AS role_used
    FROM pg_roles WHERE rolname = current_user
    """
)


async def check(url: SecretStr, *, timeout_s: float) -> Findings:
    """Yield what is wrong with the database; a write is committed that leaves nothing behind."""
    address = parse_database_url(url.get_secret_value())
    # Two, for the look at what a pooler does.
    engine = connect(url, pool_size=2, command_timeout_s=timeout_s)
    try:
        try:
            server = await _ask(engine)
        except Unavailable as error:
            yield _of_error(error, address)
            return
        for finding in _of_connections(server):
            yield finding
        if server.is_behind_pooler and await _mixes_up_statements(engine):
            yield red(
                f"a pooler at {address.place} mixes up prepared statements",
                "write pgbouncer=true into DATABASE_URL of bot and worker",
            )
            return
        is_well = True
        async for finding in _of_database(engine, address):
            is_well = False
            yield finding
        if is_well:
            through = ", through a pooler" if server.is_behind_pooler else ""
            yield green(
                f"PostgreSQL {server.version} at {address.place}{through} lets the role {server.role} "
                f"work, takes writes and is migrated; {server.free} connections are left"
            )
    finally:
        await engine.dispose()


@dataclass(frozen=True, kw_only=True)
class _ServerState:
    """What the server says of itself. `free`: how many connections this role may still open."""

    role: str
    version: str
    free: int
    connections: int
    ours: int
    is_behind_pooler: bool


async def _ask(engine: AsyncEngine) -> _ServerState:
    async def step(connection: AsyncConnection) -> _ServerState:
        row = (await connection.execute(_STATE)).one()
        raw = (await connection.get_raw_connection()).driver_connection
        free, connections = row.connections - row.used, row.connections
        if 0 <= row.role_connections < connections:
            connections = row.role_connections
            free = min(free, connections - row.role_used)
        return _ServerState(
            role=row.role,
            version=row.version.split()[0],
            free=free,
            connections=connections,
            ours=row.ours,
            # A pooler makes up the process number that it tells when a client connects.
            is_behind_pooler=raw is not None and raw.get_server_pid() != row.pid,
        )

    return await run_statement(engine, step)


def _of_connections(server: _ServerState) -> Iterator[DoctorFinding]:
    if server.free < _WORKER_CONNECTIONS and not server.is_behind_pooler:
        yield yellow(
            f"{server.free} of {server.connections} connections are left for the role {server.role}; "
            f"{server.ours} are held by our workers",
            f"raise max_connections, or run fewer processes: a worker needs {_WORKER_CONNECTIONS}",
        )


async def _of_database(engine: AsyncEngine, address: Address) -> Findings:
    """Yield what a worker lacks in the database, and whether a write is committed."""
    known_revisions = await asyncio.to_thread(revisions)
    try:
        lacks = await read_lacks(engine, known_revisions=known_revisions)
        for lack in lacks:
            yield red(f"{address.place}: {lack.what}", lack.advice)
        if not lacks and (locked := await try_to_write(engine)) is not None:
            yield red(f"{address.place}: {locked.what}", locked.advice)
    except Unavailable as error:
        yield _of_error(error, address)


async def _mixes_up_statements(engine: AsyncEngine) -> bool:
    """Whether a pooler runs a statement on another connection than the one that prepared it.

    One client prepares, the next one takes its connection of the server and keeps it, and the first
    one has to go on with another.
    """
    try:
        async with (
            engine.execution_options(isolation_level="AUTOCOMMIT").connect() as first,
            engine.connect() as second,
        ):
            await first.execute(text("SELECT 1"))
            await second.execute(text("SELECT 2"))
            await first.execute(text("SELECT 1"))
    except DBAPIError as error:
        return sqlstates.sqlstate(error) in {
            sqlstates.INVALID_STATEMENT_NAME,
            sqlstates.DUPLICATE_PREPARED_STATEMENT,
        }
    return False


def _of_error(error: Unavailable, address: Address) -> DoctorFinding:
    """Return what an error of a connect or a statement means, and what to do."""
    sentence = f"{address.place}: {error.sentence}"
    role, name = address.url.username or "this account", address.url.database
    match sqlstates.sqlstate(error.__cause__) if error.__cause__ else None:
        case "28P01" | "28000":
            return red(
                sentence,
                f"write the password of the role {role} into DATABASE_URL, or into PGPASSWORD if none "
                f"is in the address, or set it: ALTER ROLE {role} PASSWORD '…'; pg_hba.conf says who may come from where",
            )
        case sqlstates.INVALID_CATALOG_NAME:
            return red(
                sentence,
                f"correct the name in DATABASE_URL, or make it: CREATE DATABASE {name} ENCODING "
                "'UTF8' TEMPLATE template0, and then `imagegen migrate`",
            )
        case sqlstates.TOO_MANY_CONNECTIONS:
            return red(
                sentence,
                "raise max_connections, end idle sessions (pg_stat_activity), or run fewer processes: "
                f"a worker holds up to {_WORKER_CONNECTIONS}, a bot up to {DEFAULT_POOL_SIZE}",
            )
        case sqlstates.INSUFFICIENT_PRIVILEGE:
            return red(
                sentence,
                f"GRANT SELECT ON imagegen_alembic_version TO {role}; see docs/database.md",
            )
        case _:
            return red(
                sentence,
                tls_advice(sentence)
                or "start it, or correct host and port in DATABASE_URL; its log says more",
            )
