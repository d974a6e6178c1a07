"""Schema: whether the database is migrated as far as this worker needs."""

import asyncio

import structlog
from sqlalchemy import Text, column, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen import migrations, transactions
from imagegen.errors import Unavailable

log = structlog.get_logger(__name__)

EVERY_S = 2.0

_VERSION = select(column("version_num", Text)).select_from(table(migrations.VERSION_TABLE))


class Schema:
    """Asks the version table, through an engine of its own that nobody else keeps busy."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: list[str] | None = None
        self._is_there = False
        self._told: str | None = None

    async def lacks(self) -> str | None:
        """Say what has to be done, None if nothing. Raises Unavailable if PostgreSQL is away."""
        if self._known is None:
            self._known = await asyncio.to_thread(migrations.revisions)
        try:
            found = await transactions.single(self._engine, _versions)
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
