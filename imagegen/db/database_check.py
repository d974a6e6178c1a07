"""Whether a worker can work with the database: it answers, takes writes, is migrated, grants enough."""

import asyncio
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Text, column, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import OURS
from imagegen.db.engine import UTF8, not_utf8, run_statement
from imagegen.db.migrations import VERSION_TABLE, revisions
from imagegen.errors import Unavailable

CHECK_DATABASE_EVERY_S = 2.0
# A write is proof enough for so long: each is a commit, also of a worker that has nothing to do.
_WRITE_EVERY_S = 10.0

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

_NOT_MIGRATED = "the database is not migrated: run `imagegen migrate`"
# What a worker does with each table. USAGE is that of the sequence of its ids.
_RIGHTS = {
    # Retention erases rows of `dialogs` only if our migrations created that table.
    "dialogs": ("SELECT", "UPDATE", "DELETE"),
    "image_requests": ("SELECT", "UPDATE", "DELETE"),
    "deliveries": ("SELECT", "INSERT", "UPDATE", "USAGE"),
    "stray_prompts": ("SELECT", "INSERT", "DELETE"),
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
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only,
           current_setting('server_encoding') AS encoding
    """
)
_VERSION = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
# A right on one column is enough to pass: an operator may grant no more of the bot's own `dialogs`.
_MISSING_RIGHTS = text(
    """
    SELECT name, string_agg(needed, ', ') AS rights
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
# A record in the log of transactions, committed as any write is, that leaves no row behind. It does
# not come back while a disk or a synchronous standby holds up all commits.
_WRITE = text("SELECT pg_logical_emit_message(true, 'chatflow-imagegen', '')")


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
        it also commits a write that leaves nothing behind.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        lack = await self._read_lack()
        if lack is None and self._clock() - self._written_at >= self._write_every_s:
            await run_statement(self._engine, lambda connection: connection.execute(_WRITE))
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
        known = self._revisions
        try:
            return await run_statement(
                self._engine, lambda connection: _lacks(connection, revisions=known)
            )
        except Unavailable as error:
            if error.code != "database_not_migrated":
                raise
            return _NOT_MIGRATED


async def _lacks(connection: AsyncConnection, *, revisions: list[str]) -> str | None:
    state = (await connection.execute(_STATE)).one()
    if state.is_read_only:
        # The next check opens another connection, which may reach another server.
        await connection.invalidate()
        return "the database takes no writes: it is read-only, or a standby after a failover"
    if state.encoding != UTF8:
        return not_utf8(state.encoding)
    versions = set((await connection.execute(_VERSION)).scalars())
    if not versions:
        return _NOT_MIGRATED
    # An unknown revision is newer than ours: the next version is being deployed and has migrated.
    if versions & set(revisions[1:]):
        return "the database is older than this worker: run `imagegen migrate`"
    missing = (await connection.execute(_MISSING_RIGHTS, _NEEDED)).all()
    if missing:
        rights = "; ".join(f"{row.rights} on {row.name}" for row in missing)
        return f"the database user lacks rights: grant it {rights}"
    return None
