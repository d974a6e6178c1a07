"""Why a turn was not recorded, in words; pure."""

from dataclasses import dataclass

import asyncpg
from sqlalchemy.exc import DBAPIError

from chatflow_hook.outbox import DialogUnknownError


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A sentence without any value in it; what lasts stays until a person does something."""

    sentence: str
    lasts: bool


NO_COUNT = Cause(sentence="the turn's message_count is not a number from 1 on", lasts=True)

_NO_DIALOG = Cause(sentence="the bot's dialogs table has no such dialog", lasts=True)
_NOT_MIGRATED = Cause(
    sentence="tables or columns are missing: run `imagegen migrate`",
    lasts=True,
)
_NOT_LET_IN = Cause(
    sentence="the database does not let the hook in: look at DATABASE_URL", lasts=True
)
_AWAY = Cause(sentence="the database is away", lasts=True)
_FULL = Cause(sentence="the database has no room: connections, memory or disk", lasts=True)
_NO_TIME = Cause(
    sentence="no time was left: the database is away or slow, or too many turns came at once",
    lasts=True,
)
_OTHER = Cause(sentence="the database refused a statement", lasts=True)

# By SQLSTATE, or by its first two characters, which are its class.
_BY_SQLSTATE = {
    "42P01": _NOT_MIGRATED,  # undefined_table
    "42703": _NOT_MIGRATED,  # undefined_column
    "23514": _NOT_MIGRATED,  # check_violation: a word that only a newer schema knows
    "3F000": _NOT_MIGRATED,  # invalid_schema_name
    "42501": Cause(sentence="the database user may not use our tables: grant it", lasts=True),
    "25006": Cause(sentence="the transaction is read-only", lasts=True),
    "25P01": Cause(
        sentence="the session is in autocommit: call on_turn without the session", lasts=True
    ),
    "25P02": Cause(sentence="the bot's transaction had failed before", lasts=False),
    "40P01": Cause(sentence="a deadlock with another transaction", lasts=False),
    "40001": Cause(sentence="a serialisation failure beside another transaction", lasts=False),
    "55P03": Cause(sentence="another transaction held the dialog for too long", lasts=False),
    "57014": Cause(sentence="a statement took too long: the database is slow", lasts=False),
    "3D000": _NOT_LET_IN,
    "28": _NOT_LET_IN,
    "53": _FULL,
    "08": _AWAY,
    "57": _AWAY,
    "22": Cause(sentence="a value of the turn does not fit its column", lasts=True),
}


def of(error: BaseException) -> Cause:
    """Say why; never what the error itself says, since that may quote what people wrote."""
    if isinstance(error, DialogUnknownError):
        return _NO_DIALOG
    state = sqlstate(error) or ""
    known = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])
    if known is not None:
        return known
    if isinstance(error, TimeoutError):
        return _NO_TIME
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if is_lost or isinstance(error, OSError | asyncpg.InterfaceError):
        return _AWAY
    return _OTHER


def sqlstate(error: BaseException) -> str | None:
    """Return the database's own code, from SQLAlchemy's errors and asyncpg's."""
    state: str | None = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state
