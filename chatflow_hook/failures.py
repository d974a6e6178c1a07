"""Why a turn was not recorded, and how often the log says so."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from chatflow_hook import sqlstates
from chatflow_hook.outbox import DialogUnknownError
from chatflow_hook.turn import Turn


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """A sentence without any value in it; what lasts stays until a person does something."""

    sentence: str
    lasts: bool


NO_COUNT = FailureCause(sentence="the turn's message_count is not a number from 1 on", lasts=True)

_NO_DIALOG = FailureCause(sentence="the bot's dialogs table has no such dialog", lasts=True)
_NOT_MIGRATED = FailureCause(
    sentence="tables or columns are missing: run `imagegen migrate`",
    lasts=True,
)
_NOT_LET_IN = FailureCause(
    sentence="the database does not let the hook in: look at DATABASE_URL", lasts=True
)
_AWAY = FailureCause(sentence="the database is away", lasts=True)
_FULL = FailureCause(sentence="the database has no room: connections, memory or disk", lasts=True)
_NO_TIME = FailureCause(
    sentence="no time was left: the database is away or slow, or too many turns came at once",
    lasts=True,
)
_OTHER = FailureCause(sentence="the database refused a statement", lasts=True)

# By SQLSTATE, or by its first two characters, which are its class.
_BY_SQLSTATE = {
    sqlstates.UNDEFINED_TABLE: _NOT_MIGRATED,
    sqlstates.UNDEFINED_COLUMN: _NOT_MIGRATED,
    sqlstates.CHECK_VIOLATION: _NOT_MIGRATED,  # a word that only a newer schema knows
    sqlstates.INVALID_SCHEMA_NAME: _NOT_MIGRATED,
    sqlstates.INSUFFICIENT_PRIVILEGE: FailureCause(
        sentence="the database user may not use our tables: grant it", lasts=True
    ),
    sqlstates.READ_ONLY_SQL_TRANSACTION: FailureCause(
        sentence="the transaction is read-only", lasts=True
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
        sentence="a value of the turn does not fit its column", lasts=True
    ),
}


def cause_of(error: BaseException) -> FailureCause:
    """Say why; never what the error itself says, since that may quote what people wrote."""
    if isinstance(error, DialogUnknownError):
        return _NO_DIALOG
    state = sqlstates.sqlstate(error) or ""
    known = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])
    if known is not None:
        return known
    if isinstance(error, TimeoutError):
        return _NO_TIME
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if is_lost or isinstance(error, OSError | asyncpg.InterfaceError):
        return _AWAY
    return _OTHER


class Throttle:
    """Remembers per thing when it was last said and how often it was left unsaid since."""

    def __init__(self, *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def admit(self, thing: str) -> int | None:
        """Return how often it was left unsaid if it may be said now; None: leave it unsaid."""
        if not self._may_say(thing):
            self._unsaid[thing] = self._unsaid.get(thing, 0) + 1
            return None
        self._said[thing] = self._clock()
        return self._unsaid.pop(thing, 0)

    def overdue(self) -> dict[str, int]:
        """Return what has been unsaid for long enough, and how often; it counts as said now."""
        due = {thing: count for thing, count in self._unsaid.items() if self._may_say(thing)}
        for thing in due:
            self.admit(thing)
        return due

    def rest(self) -> dict[str, int]:
        """Return all that was left unsaid, and how often; for the end."""
        rest, self._unsaid = self._unsaid, {}
        return rest

    def _may_say(self, thing: str) -> bool:
        said = self._said.get(thing)
        return said is None or self._clock() - said >= self._every_s


log = structlog.get_logger(__name__)

# How often the log says the same.
_SAY_EVERY_S = 60.0


class FailureLog:
    """Tells each cause when it begins, and how often it was the cause since."""

    def __init__(self) -> None:
        self._throttle = Throttle(every_s=_SAY_EVERY_S)
        self._warned_of_serializable = False

    def of(
        self, turn: Turn, why: FailureCause, started: float, error: BaseException | None = None
    ) -> None:
        """Tell that a turn was not recorded, which began at `started` of time.monotonic."""
        untold = self._throttle.admit(why.sentence)
        if untold is None:
            return
        # The type and the database's code, never its words: they may quote what people wrote.
        (log.error if why.lasts else log.warning)(
            "turn not recorded",
            why=why.sentence,
            dialog_id=turn.dialog_id,
            error=error and type(error).__name__,
            sqlstate=error and sqlstates.sqlstate(error),
            seconds=round(time.monotonic() - started, 3),
            untold=untold,
        )

    def overdue(self) -> None:
        """Tell how many turns were not told of, where that is due."""
        self._tell(self._throttle.overdue())

    def rest(self) -> None:
        """Tell all that is left to tell, at the end."""
        self._tell(self._throttle.rest())

    def of_serializable(self) -> None:
        """Warn, once, of transactions that may fail at the bot's commit."""
        if not self._warned_of_serializable:
            self._warned_of_serializable = True
            log.warning(
                "session is serializable",
                advice="its commit may fail beside another turn's: run it again then",
            )

    def _tell(self, unsaid: dict[str, int]) -> None:
        for why, count in unsaid.items():
            log.warning("turns not recorded", why=why, count=count)
