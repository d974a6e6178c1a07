"""Whether a worker can work with the database: it answers, takes writes, is migrated, grants enough, is not locked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Text, bindparam, column, func, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import sqlstates
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OURS
from imagegen.db.engine import UTF8, AnyRow, first, foreign_encoding, one_or_none, run_statement
from imagegen.db.revisions import VERSION_TABLE, revisions
from imagegen.errors import Unavailable

# Only for the log; `/readyz` asks by itself.
CHECK_DATABASE_EVERY_S = 5.0
# A write is proof enough for so long: each is a commit, also of a worker that has nothing to do.
_WRITE_EVERY_S = 10.0

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

# What a worker does with each table. USAGE is that of the sequence of its ids.
_RIGHTS = {
    # Retention erases rows of `dialogs` only if our migrations created that table.
    "dialogs": ("SELECT", "UPDATE", "DELETE"),
    "image_requests": ("SELECT", "UPDATE", "DELETE"),
    "deliveries": ("SELECT", "INSERT", "UPDATE", "USAGE"),
    "stray_prompts": ("SELECT", "INSERT", "DELETE"),
    "comfyui_hosts": ("SELECT",),
    # To lock a row takes the right to update one of its columns.
    "forgotten_images": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "forgotten_messages": ("SELECT", "INSERT", "DELETE"),
    # What is learnt revokes them.
    "age_confirmations": ("SELECT", "UPDATE"),
    "safety_audit": ("SELECT", "INSERT", "UPDATE", "DELETE", "USAGE"),
    "hash_secret": ("SELECT", "INSERT"),
    "safety_memory": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "unread_turns": ("SELECT", "UPDATE", "DELETE"),
    # The status page pauses and resumes.
    "imagegen_pauses": ("SELECT", "INSERT", "DELETE"),
}
_NEEDED = {
    "names": [name for name, rights in _RIGHTS.items() for _ in rights],
    "rights": [right for rights in _RIGHTS.values() for right in rights],
    "ours": OURS,
}
_STATE = text(
    """
    SELECT pg_is_in_recovery() AS is_standby,
           current_setting('transaction_read_only') = 'on' AS is_read_only,
           current_setting('server_encoding') AS encoding
    """
)
_VERSION = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
# A right on one column is enough to pass: an operator may grant no more of the bot's own `dialogs`.
_MISSING_RIGHTS = text(
    """
    SELECT name, array_agg(needed) AS rights, quote_ident(current_user) AS role
    FROM unnest(CAST(:names AS text[]), CAST(:rights AS text[])) AS row (name, needed)
    WHERE NOT CASE needed
        WHEN 'DELETE' THEN has_table_privilege(name, needed)
            OR name = 'dialogs' AND obj_description(to_regclass(name), 'pg_class') IS DISTINCT FROM :ours
        WHEN 'USAGE' THEN has_sequence_privilege(pg_get_serial_sequence(name, 'id'), needed)
        ELSE has_any_column_privilege(name, needed)
    END
    GROUP BY name ORDER BY name
    """
)
_IS_WELL = DirectQuery(
    select(
        func.pg_is_in_recovery().is_(False),
        func.current_setting("transaction_read_only") == "off",
        func.current_setting("server_encoding") == UTF8,
        select(_VERSION.subquery().c.version_num == bindparam("newest")).scalar_subquery(),
        ~select(_MISSING_RIGHTS.columns(column("name", Text)).subquery()).exists(),
    )
)
# A record in the log of transactions, committed as any write is, that leaves no row behind. It does
# not come back while a disk or a synchronous standby holds up all commits. The lock is that of any
# change of a row, and is waited for in vain while another session has locked the table.
_WRITE = text(
    """
    DO $$ BEGIN
        SET LOCAL lock_timeout = '1s';
        LOCK TABLE image_requests IN ROW EXCLUSIVE MODE;
        PERFORM pg_logical_emit_message(true, 'chatflow-imagegen', '');
    END $$
    """
)
# Who has a lock that no change of a row goes with, the oldest first. Of its statement only the first
# words, since what follows may be what people wrote.
_BLOCKING = text(
    r"""
    SELECT lock.pid, usename AS role, application_name AS program,
           substring(query FROM '^\s*([A-Za-z_]+(?:\s+[A-Za-z_.]+){0,3})') AS statement
    FROM pg_locks AS lock JOIN pg_stat_activity AS session ON session.pid = lock.pid
    WHERE relation = to_regclass('image_requests') AND datname = current_database()
      AND database = datid AND granted AND lock.pid <> pg_backend_pid()
      AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    ORDER BY xact_start LIMIT 1
    """
)


@dataclass(frozen=True, kw_only=True)
class DatabaseLack:
    """What is wrong with a database, and what an operator has to do."""

    what: str
    advice: str

    @property
    def sentence(self) -> str:
        """Both in one sentence."""
        return f"{self.what}: {self.advice}"


_NOT_MIGRATED = DatabaseLack(what="the database is not migrated", advice="run `imagegen migrate`")
_STANDBY = DatabaseLack(
    what="the database takes no writes, since it is a standby",
    advice="let DATABASE_URL lead to the primary",
)
_READ_ONLY = DatabaseLack(
    what="the database takes no writes, since it is read-only",
    advice="find out who made it so: SHOW default_transaction_read_only, a full disk, a failover",
)


async def read_lacks(
    engine: AsyncEngine, *, known_revisions: Sequence[str]
) -> Sequence[DatabaseLack]:
    """Return what a worker lacks in the database, the worst first; it writes nothing.

    `known_revisions`: those of `imagegen.db.revisions.revisions`. A database that is migrated
    further is good enough.

    Raises:
        Unavailable: PostgreSQL cannot be reached, or refuses to say anything.
    """
    if await _is_well(engine, newest_revision=known_revisions[0]):
        return []
    lacks: list[DatabaseLack] = []

    async def step(connection: AsyncConnection) -> None:
        lacks.clear()
        async for lack in _find_lacks(connection, known_revisions):
            lacks.append(lack)  # noqa: PERF401 (what was found before an error counts)

    try:
        await run_statement(engine, step)
    except Unavailable as error:
        if error.code == "database_not_migrated":
            lacks.append(_NOT_MIGRATED)
        elif not lacks:
            raise
    return lacks


async def try_to_write(engine: AsyncEngine) -> DatabaseLack | None:
    """Commit a write that leaves nothing behind; None if that succeeds.

    Returns who has locked our table, if somebody has for a second.

    Raises:
        Unavailable: PostgreSQL cannot be reached, or takes no writes.
    """

    async def step(connection: AsyncConnection) -> DatabaseLack | None:
        try:
            await connection.execute(_WRITE)
        except DBAPIError as error:
            if sqlstates.sqlstate(error) != sqlstates.LOCK_NOT_AVAILABLE:
                raise
            return _locked(await one_or_none(connection, _BLOCKING))
        return None

    return await run_statement(engine, step)


class DatabaseCheck:
    """Asks the database for everything that a worker needs of it.

    Give it an engine of its own, so that it does not wait behind busy connections.
    `write_every_s`: for how many seconds a write that succeeded is proof that writes do. `clock`
    returns seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        write_every_s: float = _WRITE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._write_every_s = write_every_s
        self._clock = clock
        self._written_at = float("-inf")
        self._revisions: list[str] | None = None
        self._logged_reason: str | None = None

    async def lacks(self) -> str | None:
        """Return a sentence on what an operator has to do, None if the worker can work.

        A database that is migrated further than this worker knows is good enough. Every ten seconds
        it also commits a write that leaves nothing behind, and says who has locked our table.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        lack = await self._read_lack()
        if lack is None and self._clock() - self._written_at >= self._write_every_s:
            locked = await try_to_write(self._engine)
            if locked is not None:
                return locked.sentence
            self._written_at = self._clock()
        return lack

    async def step(self) -> None:
        """Check the database without a write; log what an operator has to do when that changes."""
        try:
            reason = await self._read_lack()
        except Unavailable as error:
            reason = error.sentence
        if reason == self._logged_reason:
            return
        if reason is not None:
            log.error("database not ready", why=reason)
        else:
            log.info("database ready")
        self._logged_reason = reason

    async def _read_lack(self) -> str | None:
        if self._revisions is None:
            self._revisions = await asyncio.to_thread(revisions)
        lacks = await read_lacks(self._engine, known_revisions=self._revisions)
        return lacks[0].sentence if lacks else None


async def _is_well(engine: AsyncEngine, *, newest_revision: str) -> bool:
    """Whether a worker lacks nothing, by one statement; False if it is refused.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    try:
        row = await first(engine, _IS_WELL, {**_NEEDED, "newest": newest_revision})
    except Unavailable as error:
        if error.code == "database_unavailable":
            raise
        return False
    return row is not None and all(row)


async def _find_lacks(
    connection: AsyncConnection, known_revisions: Sequence[str]
) -> AsyncIterator[DatabaseLack]:
    state = (await connection.execute(_STATE)).one()
    if state.encoding != UTF8:
        yield DatabaseLack(
            what=foreign_encoding(state.encoding), advice="move to a database of the encoding UTF8"
        )
        return  # nothing is to be migrated or granted there
    if state.is_standby or state.is_read_only:
        yield _STANDBY if state.is_standby else _READ_ONLY
    versions = set((await connection.execute(_VERSION)).scalars())
    if not versions:
        yield _NOT_MIGRATED
    # An unknown revision is newer than ours: the next version is being deployed and has migrated.
    elif versions & set(known_revisions[1:]):
        yield DatabaseLack(
            what="the database is older than this worker", advice="run `imagegen migrate`"
        )
    else:
        missing = (await connection.execute(_MISSING_RIGHTS, _NEEDED)).all()
        if missing:
            grants = "; ".join(_grant(row.name, row.rights, row.role) for row in missing)
            yield DatabaseLack(what="the database user lacks rights", advice=grants)
    if state.is_standby or state.is_read_only:
        # The next check opens another connection, which may reach another server.
        await connection.invalidate()


def _locked(blocking: AnyRow | None) -> DatabaseLack:
    if blocking is None:
        return DatabaseLack(
            what="the table image_requests was locked by another session",
            advice="look for long transactions in pg_stat_activity",
        )
    by = ", ".join(filter(None, (blocking.role, blocking.program, blocking.statement)))
    return DatabaseLack(
        what=f"the table image_requests is locked by process {blocking.pid} ({by or 'unknown'})",
        advice=f"wait for its end, or end it: SELECT pg_terminate_backend({blocking.pid})",
    )


def _grant(table_name: str, rights: Sequence[str], role: str) -> str:
    """Return the statements that give a role what it lacks on a table and on the sequence of its ids."""
    on_table = ", ".join(right for right in rights if right != "USAGE")
    statements = [f"GRANT {on_table} ON {table_name} TO {role}"] if on_table else []
    if "USAGE" in rights:
        statements.append(f"GRANT USAGE ON SEQUENCE {table_name}_id_seq TO {role}")
    return "; ".join(statements)
