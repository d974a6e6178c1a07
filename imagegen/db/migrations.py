"""Alembic from code, and whether the database is migrated as far as this worker needs."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Text, column, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen import resources
from imagegen.db.engine import run_statement
from imagegen.errors import ImagegenError, Unavailable

# The bot's own migrations keep theirs in `alembic_version`, perhaps in the same schema.
VERSION_TABLE = "imagegen_alembic_version"

_LONGEST_PAUSE_S = 30.0


class MigrationStopped(ImagegenError):
    """The database is as it was before, and the sentence says why."""

    code = "migration_stopped"


@dataclass(frozen=True, kw_only=True)
class LockWaits:
    """How long the chat may stand behind us at a time, and how often we ask."""

    lock_timeout_s: float = 3.0
    tries: int = 8

    def pauses(self) -> Iterator[float]:
        """Yield the seconds between the tries: the chat gets at least as long as we had."""
        for failed in range(self.tries - 1):
            yield min(self.lock_timeout_s * 2**failed, _LONGEST_PAUSE_S)


def upgrade(
    database_url: SecretStr | str,
    revision: str = "head",
    *,
    lock_timeout_s: float = LockWaits.lock_timeout_s,
    tries: int = LockWaits.tries,
) -> None:
    """Bring the database up to `revision`; does nothing if it is there.

    Blocks; call it outside a running event loop, or in a thread. Raises MigrationStopped, and
    ValueError for a wrong URL.
    """
    patience = LockWaits(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.upgrade(config(database_url, patience), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def downgrade(
    database_url: SecretStr | str,
    revision: str = "base",
    *,
    lock_timeout_s: float = LockWaits.lock_timeout_s,
    tries: int = LockWaits.tries,
) -> None:
    """Take the database down to `revision`; `base` leaves nothing of ours. As `upgrade`."""
    patience = LockWaits(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.downgrade(config(database_url, patience), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def revisions() -> list[str]:
    """Return the revisions that we know, the newest first; reads files."""
    scripts = ScriptDirectory(str(resources.path("alembic")))
    return [script.revision for script in scripts.walk_revisions()]


def config(database_url: SecretStr | str, patience: LockWaits | None = None) -> Config:
    """Make what every function of `alembic.command` takes first."""
    made = Config(resources.path("alembic.ini"))
    # Not as an option: its percent signs would be read as interpolation.
    made.attributes["database_url"] = (
        database_url if isinstance(database_url, SecretStr) else SecretStr(database_url)
    )
    made.attributes["patience"] = patience or LockWaits()
    return made


log = structlog.get_logger(__name__)

SCHEMA_CHECK_EVERY_S = 2.0

_VERSION = select(column("version_num", Text)).select_from(table(VERSION_TABLE))


class SchemaCheck:
    """Asks the version table, through an engine of its own that nobody else keeps busy."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: list[str] | None = None
        self._is_there = False
        self._told: str | None = None

    async def lacks(self) -> str | None:
        """Say what has to be done, None if nothing. Raises Unavailable if PostgreSQL is away."""
        if self._known is None:
            self._known = await asyncio.to_thread(revisions)
        try:
            found = await run_statement(self._engine, _versions)
        except Unavailable as error:
            if error.code != "database_not_migrated":
                raise
            found = set()
        if not found:
            return "the database is not migrated: run `imagegen migrate`"
        # A revision that we don't know is newer: whoever deploys next has migrated already.
        if found & set(self._known[1:]):
            return "the database is older than this worker: run `imagegen migrate`"
        return None

    async def step(self) -> None:
        """Tell what has to be done, until it is."""
        if self._is_there:
            return
        try:
            lack = await self.lacks()
        except Unavailable as error:
            self._tell(error.sentence)
            return
        self._is_there = lack is None
        if lack is not None:
            self._tell(lack)
        elif self._told is not None:
            log.info("database ready")

    def _tell(self, why: str) -> None:
        if why != self._told:
            log.error("database not ready", why=why)
            self._told = why


async def _versions(connection: AsyncConnection) -> set[str]:
    return set((await connection.execute(_VERSION)).scalars())
