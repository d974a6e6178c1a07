"""Runs the migrations from code, as `alembic` does from a shell."""

from collections.abc import Iterator
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import SecretStr

from imagegen import shipped
from imagegen.errors import ImagegenError

# The bot's own migrations keep theirs in `alembic_version`, perhaps in the same schema.
VERSION_TABLE = "imagegen_alembic_version"

_LONGEST_PAUSE_S = 30.0


class MigrationStopped(ImagegenError):
    """The database is as it was before, and the sentence says why."""

    code = "migration_stopped"


@dataclass(frozen=True, kw_only=True)
class Patience:
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
    lock_timeout_s: float = Patience.lock_timeout_s,
    tries: int = Patience.tries,
) -> None:
    """Bring the database up to `revision`; does nothing if it is there.

    Blocks; call it outside a running event loop, or in a thread. Raises MigrationStopped, and
    ValueError for a wrong URL.
    """
    patience = Patience(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.upgrade(config(database_url, patience), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def downgrade(
    database_url: SecretStr | str,
    revision: str = "base",
    *,
    lock_timeout_s: float = Patience.lock_timeout_s,
    tries: int = Patience.tries,
) -> None:
    """Take the database down to `revision`; `base` leaves nothing of ours. As `upgrade`."""
    patience = Patience(lock_timeout_s=lock_timeout_s, tries=tries)
    try:
        command.downgrade(config(database_url, patience), revision)
    except CommandError as error:
        raise MigrationStopped(str(error)) from error


def revisions() -> list[str]:
    """Return the revisions that we know, the newest first; reads files."""
    scripts = ScriptDirectory(str(shipped.path("alembic")))
    return [script.revision for script in scripts.walk_revisions()]


def config(database_url: SecretStr | str, patience: Patience | None = None) -> Config:
    """Make what every function of `alembic.command` takes first."""
    made = Config(shipped.path("alembic.ini"))
    # Not as an option: its percent signs would be read as interpolation.
    made.attributes["database_url"] = (
        database_url if isinstance(database_url, SecretStr) else SecretStr(database_url)
    )
    made.attributes["patience"] = patience or Patience()
    return made
