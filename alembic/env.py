"""Runs the migrations in one transaction, again and again while the chat holds a lock."""

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
from chatflow_hook import database_url
from chatflow_hook.settings import BadSetting, HookSettings, read
from chatflow_hook.sqlstates import is_lost_to_another
from chatflow_hook.tables import OURS, Base
from imagegen.db.migrations import VERSION_TABLE, LockWaits, MigrationStopped

log = structlog.get_logger(__name__)

# For the server that neither answers nor closes; no statement of ours takes as long.
_TIMEOUTS = {"timeout": 10.0, "command_timeout": 600.0}


def main() -> None:
    """Run what alembic was called for; on the command line a fault is one line."""
    is_command_line = context.config.cmd_opts is not None
    if not is_command_line:
        _run()
        return
    _show_the_steps()
    try:
        _run()
    except (MigrationStopped, BadSetting) as error:
        sys.exit(str(error))


def _show_the_steps() -> None:
    # Does nothing when somebody has configured logging already.
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
        # A role may have another default, and whoever waited for us must see what we did.
        isolation_level="READ COMMITTED",
    )
    asyncio.run(_migrate_patiently(engine, _patience()))


def _database_url() -> str:
    given = context.config.attributes.get("database_url")
    return str((given or read(HookSettings).database_url).get_secret_value())


def _patience() -> LockWaits:
    given = context.config.attributes.get("patience")
    if given is not None:
        return LockWaits(**vars(given))
    asked = context.get_x_argument(as_dictionary=True)
    return LockWaits(
        lock_timeout_s=float(asked.get("lock_timeout_s", LockWaits.lock_timeout_s)),
        tries=int(asked.get("tries", LockWaits.tries)),
    )


async def _migrate_patiently(engine: AsyncEngine, patience: LockWaits) -> None:
    for pause_s in patience.pauses():
        if await _is_migrated(engine, patience):
            return
        log.warning("migration waits for a lock", pause_s=pause_s)
        await asyncio.sleep(pause_s)
    if not await _is_migrated(engine, patience):
        raise MigrationStopped(
            f"gave up after {patience.tries} tries of {patience.lock_timeout_s:g} s: a transaction "
            "of another program holds a lock that the migration needs, most likely on dialogs; "
            "nothing was changed"
        )


async def _is_migrated(engine: AsyncEngine, patience: LockWaits) -> bool:
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate, patience)
    except DBAPIError as error:
        if is_lost_to_another(error):
            return False
        raise MigrationStopped(f"PostgreSQL refused: {_reason(error)}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationStopped(
            f"PostgreSQL cannot be reached: {error!s:.200}"
            if str(error)
            else "PostgreSQL is silent"
        ) from error
    return True


def _reason(error: DBAPIError) -> str:
    cause = error.orig.__cause__ if error.orig else None
    said = (getattr(cause, name, None) for name in ("message", "detail"))
    return " ".join(" ".join(part.split()) for part in said if part) or type(error).__name__


def _migrate(connection: Connection, patience: LockWaits) -> None:
    _be_brief(connection, patience)
    schema = connection.scalar(select(func.current_schema()))
    context.configure(
        connection=connection,
        target_metadata=_models_beside(connection),
        version_table=VERSION_TABLE,
        # Named, or a version table in a later schema of search_path would be taken for ours.
        version_table_schema=schema,
        compare_server_default=True,
        include_name=_is_a_name_of_ours,
        include_object=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()
    _leave_no_empty_version_table(connection, schema)


def _be_brief(connection: Connection, patience: LockWaits) -> None:
    # Behind an ALTER that waits, every statement of the chat waits too.
    lock_timeout = f"{max(1, round(patience.lock_timeout_s * 1000))}ms"
    connection.execute(select(func.set_config("lock_timeout", lock_timeout, True)))
    # If this process is stopped in the middle, the server lets the chat go on.
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "30s", True)))
    # One at a time; whoever comes second finds the work done.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(OURS))))


def _leave_no_empty_version_table(connection: Connection, schema: str | None) -> None:
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return
    if connection.scalar(select(func.count()).select_from(table(VERSION_TABLE))) == 0:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))


def _models_beside(connection: Connection) -> MetaData:
    """Copy the models; a `dialogs` that stands there keeps whatever comment it has."""
    models = MetaData(naming_convention=Base.metadata.naming_convention)
    for model in Base.metadata.sorted_tables:
        model.to_metadata(models)
    if inspect(connection).has_table("dialogs"):
        models.tables["dialogs"].comment = inspect(connection).get_table_comment("dialogs")["text"]
    return models


def _is_a_name_of_ours(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 (alembic's form)
    return kind != "table" or name in Base.metadata.tables


def _is_ours(item: Any, name: str | None, kind: str, reflected: bool, there: Any) -> bool:  # noqa: ARG001, FBT001 (alembic's form)
    """Say whether autogenerate may look at a thing; in the database the comments decide."""
    there = item if reflected else there
    # What the models have and the database lacks is to be made; in a table one looks inside.
    if there is None or kind == "table":
        return True
    return OURS in (getattr(there, "comment", None), there.table.comment)


main()
