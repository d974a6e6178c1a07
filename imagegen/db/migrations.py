"""Runs the migrations from code, as `alembic` does from a shell."""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr

from imagegen import resources
from imagegen.errors import ImagegenError

_MAX_PAUSE_S = 30.0

log = structlog.get_logger(__name__)


class MigrationStopped(ImagegenError):
    """The migration was rolled back, the database is as it was before; the sentence says why."""

    code = "migration_stopped"


@dataclass(frozen=True, kw_only=True)
class LockWaits:
    """How long one try waits for a lock, in seconds, and how many tries are made.

    While a migration waits for a lock on `dialogs`, all statements of the chat wait behind it.
    """

    lock_timeout_s: float = 3.0
    tries: int = 8

    def pauses(self) -> Iterator[float]:
        """Yield the seconds between the tries: at least as long as a try waits, at most 30 s."""
        for failed in range(self.tries - 1):
            yield min(self.lock_timeout_s * 2**failed, _MAX_PAUSE_S)


def upgrade(
    database_url: SecretStr | str,
    revision: str = "head",
    *,
    lock_timeout_s: float = LockWaits.lock_timeout_s,
    tries: int = LockWaits.tries,
) -> None:
    """Migrate the database up to `revision`. Does nothing if it is there already.

    Blocks, so call it outside a running event loop or in a thread. If it is interrupted the
    database stays as it was. `lock_timeout_s` and `tries`: see LockWaits.

    Raises:
        MigrationStopped: PostgreSQL cannot be reached, a lock is held for too long, the revision is
            unknown, or the database has tables that are in the way.
        ValueError: the URL is wrong.
    """
    waits = LockWaits(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.upgrade(config(database_url, waits), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def downgrade(
    database_url: SecretStr | str,
    revision: str = "base",
    *,
    lock_timeout_s: float = LockWaits.lock_timeout_s,
    tries: int = LockWaits.tries,
) -> None:
    """Migrate the database down to `revision`; `base` removes everything that is ours.

    Blocks, so call it outside a running event loop or in a thread.

    Raises:
        MigrationStopped: as for `upgrade`, or a table may not be ours, as it lacks our comment.
        ValueError: the URL is wrong.
    """
    waits = LockWaits(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.downgrade(config(database_url, waits), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def config(database_url: SecretStr | str, waits: LockWaits | None = None) -> Config:
    """Return the configuration that all functions of `alembic.command` take as first argument."""
    configuration = Config(resources.path("alembic.ini"))
    # Not as an option of the file: its percent signs would be read as interpolation.
    configuration.attributes["database_url"] = (
        database_url if isinstance(database_url, SecretStr) else SecretStr(database_url)
    )
    configuration.attributes["lock_waits"] = waits or LockWaits()
    return configuration
