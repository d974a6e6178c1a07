"""Runs the migrations in one transaction, and tries again while the chat holds a lock.

Alembic runs this file for every command, and gives it the configuration of imagegen.db.migrations
or of the command line.
"""

import asyncio
import logging
import sys
from typing import Any

import asyncpg
import structlog
from alembic import context
from sqlalchemy import Connection, MetaData, NullPool, func, inspect, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import imagegen.db.tables  # noqa: F401 (adds the worker's tables to the metadata)
from chatflow_hook import connection_errors, database_url
from chatflow_hook.database_url import Address
from chatflow_hook.settings import BadSetting, HookSettings, read
from chatflow_hook.sqlstates import is_lost_to_another
from chatflow_hook.tables import OURS, Base
from imagegen.db.engine import UTF8, foreign_encoding
from imagegen.db.migrations import LockWaits, MigrationStopped
from imagegen.db.revisions import VERSION_TABLE

log = structlog.get_logger(__name__)

# Seconds, for a server that neither answers nor closes the connection. No statement of ours takes
# so long.
_NOT_LET_IN = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
_TIMEOUTS = {"timeout": 10.0, "command_timeout": 600.0}


def main() -> None:
    """Run the Alembic command; on the command line an error is printed as one line."""
    is_command_line = context.config.cmd_opts is not None
    if not is_command_line:
        _run()
        return
    _log_the_steps()
    try:
        _run()
    except (MigrationStopped, BadSetting) as error:
        sys.exit(str(error))


def _log_the_steps() -> None:
    # Does nothing if logging is configured already.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)


def _run() -> None:
    if context.is_offline_mode():
        raise MigrationStopped(
            "the migrations look at what stands in the database, so they cannot be written as SQL"
        )
    address = database_url.parse(_database_url())
    engine = create_async_engine(
        address.url,
        connect_args=_TIMEOUTS | address.connect_args,
        poolclass=NullPool,
        # A role may have another default. With it a second migration, which has waited for the
        # lock, would not see what the first one did.
        isolation_level="READ COMMITTED",
    )
    asyncio.run(_migrate_with_retries(engine, address, _lock_waits()))


def _database_url() -> str:
    configured = context.config.attributes.get("database_url")
    return str((configured or read(HookSettings).database_url).get_secret_value())


def _lock_waits() -> LockWaits:
    configured = context.config.attributes.get("lock_waits")
    if configured is not None:
        return LockWaits(**vars(configured))
    options = context.get_x_argument(as_dictionary=True)
    return LockWaits(
        lock_timeout_s=float(options.get("lock_timeout_s", LockWaits.lock_timeout_s)),
        tries=int(options.get("tries", LockWaits.tries)),
    )


async def _migrate_with_retries(engine: AsyncEngine, address: Address, waits: LockWaits) -> None:
    for pause_s in waits.pauses():
        if await _is_migrated(engine, address, waits):
            return
        log.warning("migration waits for a lock", pause_s=pause_s)
        await asyncio.sleep(pause_s)
    if not await _is_migrated(engine, address, waits):
        raise MigrationStopped(
            f"gave up after {waits.tries} tries of {waits.lock_timeout_s:g} s: a transaction "
            "of another program holds a lock that the migration needs, most likely on dialogs; "
            "nothing was changed"
        )


async def _is_migrated(engine: AsyncEngine, address: Address, waits: LockWaits) -> bool:
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate, waits)
    except DBAPIError as error:
        if is_lost_to_another(error):
            return False
        raise MigrationStopped(f"PostgreSQL refused: {_reason(error)} ({address.place})") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = connection_errors.reason(error) or f"says: {error!s:.200}"
        raise MigrationStopped(f"PostgreSQL cannot be reached: {address.place} {reason}") from error
    return True


def _reason(error: DBAPIError) -> str:
    cause = error.orig.__cause__ if error.orig else None
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return str(cause)
    texts = (getattr(cause, name, None) for name in ("message", "detail"))
    reason = " ".join(" ".join(part.split()) for part in texts if part) or type(error).__name__
    return f"{reason}: look at DATABASE_URL" if isinstance(cause, _NOT_LET_IN) else reason


def _migrate(connection: Connection, waits: LockWaits) -> None:
    _limit_locks(connection, waits)
    _require_utf8(connection)
    schema = connection.scalar(select(func.current_schema()))
    context.configure(
        connection=connection,
        target_metadata=_models_for(connection),
        version_table=VERSION_TABLE,
        # Without the schema, a version table in a later schema of search_path would be taken for
        # ours.
        version_table_schema=schema,
        compare_server_default=True,
        include_name=_has_name_of_ours,
        include_object=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()
    _drop_empty_version_table(connection, schema)


def _require_utf8(connection: Connection) -> None:
    encoding = connection.scalar(select(func.current_setting("server_encoding")))
    # What is there of ours may always be taken out again.
    is_migrated = connection.scalar(select(func.to_regclass(VERSION_TABLE))) is not None
    if encoding != UTF8 and not is_migrated:
        raise MigrationStopped(
            f"{foreign_encoding(str(encoding))}: make one with CREATE DATABASE … ENCODING 'UTF8' "
            "TEMPLATE template0"
        )


def _limit_locks(connection: Connection, waits: LockWaits) -> None:
    # While an ALTER waits for its lock, every statement of the chat waits behind it.
    lock_timeout = f"{max(1, round(waits.lock_timeout_s * 1000))}ms"
    connection.execute(select(func.set_config("lock_timeout", lock_timeout, True)))
    # If this process is suspended in the middle, the server ends the transaction and frees its
    # locks.
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "30s", True)))
    # One migration at a time. The second one finds the work done.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(OURS))))


def _drop_empty_version_table(connection: Connection, schema: str | None) -> None:
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return
    if connection.scalar(select(func.count()).select_from(table(VERSION_TABLE))) == 0:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))


def _models_for(connection: Connection) -> MetaData:
    """Return a copy of the models, in which `dialogs` has the comment that it has in the database.

    So `alembic check` does not report the comment of a table that is the bot's own.
    """
    models = MetaData(naming_convention=Base.metadata.naming_convention)
    for model in Base.metadata.sorted_tables:
        model.to_metadata(models)
    if inspect(connection).has_table("dialogs"):
        models.tables["dialogs"].comment = inspect(connection).get_table_comment("dialogs")["text"]
    return models


def _has_name_of_ours(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 (alembic's form)
    return kind != "table" or name in Base.metadata.tables


def _is_ours(item: Any, name: str | None, kind: str, reflected: bool, there: Any) -> bool:  # noqa: ARG001, FBT001 (alembic's form)
    """Tell whether autogenerate compares an object. In the database its comment decides."""
    there = item if reflected else there
    # An object that only the models have is to be created. Of a table the columns are compared.
    if there is None or kind == "table":
        return True
    return OURS in (getattr(there, "comment", None), there.table.comment)


main()
