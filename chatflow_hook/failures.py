"""Why a turn was not recorded, and how often the log says so."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from chatflow_hook import connection_errors, sqlstates
from chatflow_hook.outbox import DialogUnknownError
from chatflow_hook.turn import Turn

log = structlog.get_logger(__name__)

# The shortest time between two log lines of the same cause.
_LOG_INTERVAL_S = 60.0


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """Why a turn was not recorded, in a sentence without any value.

    `lasts`: the cause stays until a person does something; it is logged as an error.
    """

    sentence: str
    lasts: bool


NO_COUNT = FailureCause(sentence="the turn's message_count is not a number from 1 on", lasts=True)

_NO_DIALOG = FailureCause(sentence="the bot's dialogs table has no such dialog", lasts=True)
_NOT_MIGRATED = FailureCause(
    sentence="tables or columns are missing: run `imagegen migrate`",
    lasts=True,
)
_NOT_LET_IN = FailureCause(
    sentence="the database does not accept user, password or name: look at DATABASE_URL", lasts=True
)
_AWAY = FailureCause(sentence="the database is away", lasts=True)
_BAD_OPTIONS = FailureCause(
    sentence="the options of DATABASE_URL do not fit together: verify-ca and verify-full need"
    " sslrootcert",
    lasts=True,
)
_FULL = FailureCause(sentence="the database has no room: connections, memory or disk", lasts=True)
_NO_TIME = FailureCause(
    sentence="no time was left: the database is away or slow, or too many turns came at once",
    lasts=True,
)
_POOLER_MIXES_UP = FailureCause(
    sentence="a pooler such as PgBouncer in transaction mode mixes up prepared statements: write"
    " pgbouncer=true into DATABASE_URL; for a session of the bot's own engine, see docs/database.md",
    lasts=True,
)
_POOLER_REFUSES_OPTION = FailureCause(
    sentence="a pooler such as PgBouncer refuses an option of DATABASE_URL: leave `options` out, or"
    " name them in its ignore_startup_parameters",
    lasts=True,
)
_OTHER = FailureCause(sentence="the database refused a statement", lasts=True)

# By SQLSTATE, or by its first two characters, which are its class.
_BY_SQLSTATE = {
    sqlstates.UNDEFINED_TABLE: _NOT_MIGRATED,
    sqlstates.UNDEFINED_COLUMN: _NOT_MIGRATED,
    sqlstates.CHECK_VIOLATION: _NOT_MIGRATED,  # a word that only a newer schema knows
    sqlstates.INVALID_SCHEMA_NAME: _NOT_MIGRATED,
    sqlstates.DUPLICATE_PREPARED_STATEMENT: _POOLER_MIXES_UP,
    sqlstates.INVALID_STATEMENT_NAME: _POOLER_MIXES_UP,
    # A statement of the same name was prepared by somebody else, with other parameters.
    sqlstates.INVALID_BINARY_REPRESENTATION: _POOLER_MIXES_UP,
    sqlstates.INSUFFICIENT_PRIVILEGE: FailureCause(
        sentence="the database user may not use our tables: grant it", lasts=True
    ),
    sqlstates.READ_ONLY_SQL_TRANSACTION: FailureCause(
        sentence="the database takes no writes: it is read-only, or a standby after a failover",
        lasts=True,
    ),
    sqlstates.TOO_MANY_CONNECTIONS: FailureCause(
        sentence="the database has no connections left: raise its max_connections,"
        " or run fewer processes",
        lasts=True,
    ),
    sqlstates.NO_ACTIVE_SQL_TRANSACTION: FailureCause(
        sentence="the session is in autocommit: call on_turn without the session", lasts=True
    ),
    sqlstates.IN_FAILED_SQL_TRANSACTION: FailureCause(
        sentence="the bot's transaction had failed before", lasts=False
    ),
    sqlstates.DEADLOCK_DETECTED: FailureCause(
        sentence="a deadlock with another transaction", lasts=False
    ),
    sqlstates.SERIALIZATION_FAILURE: FailureCause(
        sentence="a serialisation failure beside another transaction", lasts=False
    ),
    sqlstates.LOCK_NOT_AVAILABLE: FailureCause(
        sentence="another transaction held the dialog for too long", lasts=False
    ),
    sqlstates.QUERY_CANCELED: FailureCause(
        sentence="a statement took too long: the database is slow", lasts=False
    ),
    sqlstates.INVALID_CATALOG_NAME: _NOT_LET_IN,
    sqlstates.INVALID_AUTHORIZATION: _NOT_LET_IN,
    sqlstates.INSUFFICIENT_RESOURCES: _FULL,
    sqlstates.CONNECTION_EXCEPTION: _AWAY,
    sqlstates.OPERATOR_INTERVENTION: _AWAY,
    sqlstates.DATA_EXCEPTION: FailureCause(
        sentence="a value does not fit its column, or the database's encoding", lasts=True
    ),
}


def cause_of(error: BaseException) -> FailureCause:
    """Return the cause of an error of the database.

    It never has the error's own message, since that may quote what people wrote.
    """
    if isinstance(error, DialogUnknownError):
        return _NO_DIALOG
    state = sqlstates.sqlstate(error) or ""
    if state == sqlstates.PROTOCOL_VIOLATION:
        return _of_protocol_violation(error)
    cause = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])
    if cause is not None:
        return cause
    if isinstance(error, TimeoutError):
        return _NO_TIME
    if any(
        isinstance(each, asyncpg.ClientConfigurationError)
        for each in connection_errors.causes(error)
    ):
        return _BAD_OPTIONS
    if isinstance(error, OSError):
        reason = connection_errors.reason(error)
        return FailureCause(sentence=f"{_AWAY.sentence}: it {reason}", lasts=True)
    is_disconnected = isinstance(error, DBAPIError) and error.connection_invalidated
    if is_disconnected or isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return _AWAY
    return _OTHER


def _of_protocol_violation(error: BaseException) -> FailureCause:
    # PgBouncer has this code for everything that it refuses, and PostgreSQL if a statement of that
    # name has another number of parameters.
    message = str(sqlstates.original(error))
    if "startup parameter" in message:
        return _POOLER_REFUSES_OPTION
    return _POOLER_MIXES_UP if "prepared statement" in message else _AWAY


class FailureLog:
    """Logs each cause at its first failure, and then at most once a minute with a count."""

    def __init__(self) -> None:
        self._throttle = Throttle()
        self._has_warned_of_serializable = False

    def log_failure(
        self, turn: Turn, why: FailureCause, started: float, error: BaseException | None = None
    ) -> None:
        """Log that a turn was not recorded; `started` is its start by `time.monotonic`."""
        untold = self._throttle.admit(why.sentence)
        if untold is None:
            return
        # The type and the SQLSTATE, never the message, which may quote what people wrote.
        (log.error if why.lasts else log.warning)(
            "turn not recorded",
            why=why.sentence,
            dialog_id=turn.dialog_id,
            error=error and type(error).__name__,
            sqlstate=error and sqlstates.sqlstate(error),
            condition=error and sqlstates.condition(error),
            seconds=round(time.monotonic() - started, 3),
            untold=untold,
        )

    def log_overdue(self) -> None:
        """Log how many failures were skipped, for each cause that may be logged again."""
        self._log_counts(self._throttle.overdue())

    def log_rest(self) -> None:
        """Log how many failures were skipped, for all causes; to be called at the end."""
        self._log_counts(self._throttle.rest())

    def warn_of_serializable(self) -> None:
        """Warn, once, that the bot's transactions may fail at their commit."""
        if not self._has_warned_of_serializable:
            self._has_warned_of_serializable = True
            log.warning(
                "session is serializable",
                advice="its commit may fail beside another turn's: run it again then",
            )

    def _log_counts(self, skipped: dict[str, int]) -> None:
        for why, count in skipped.items():
            log.warning("turns not recorded", why=why, count=count)


class Throttle:
    """Lets each key pass once in `every_s` seconds, and counts how often it was skipped since.

    May be used in several threads.
    """

    def __init__(
        self, *, every_s: float = _LOG_INTERVAL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._skipped: dict[str, int] = {}
        self._lock = threading.RLock()

    def admit(self, key: str) -> int | None:
        """Return how often the key was skipped if it may be logged now; None if it is to be skipped."""
        with self._lock:
            if not self._may_log(key):
                self._skipped[key] = self._skipped.get(key, 0) + 1
                return None
            self._logged_at[key] = self._clock()
            return self._skipped.pop(key, 0)

    def overdue(self) -> dict[str, int]:
        """Return the skipped keys that may be logged now, and how often each was skipped.

        They count as logged now.
        """
        with self._lock:
            due = {key: count for key, count in self._skipped.items() if self._may_log(key)}
            for key in due:
                self.admit(key)
            return due

    def rest(self) -> dict[str, int]:
        """Return all skipped keys, and how often each was skipped; for the end of the process."""
        with self._lock:
            rest, self._skipped = self._skipped, {}
            return rest

    def _may_log(self, key: str) -> bool:
        logged_at = self._logged_at.get(key)
        return logged_at is None or self._clock() - logged_at >= self._every_s
