"""PostgreSQL's error codes (SQLSTATE), and transactions that are repeated after some of them.

The codes are those of PostgreSQL's documentation, appendix A.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

ResultT = TypeVar("ResultT")

UNDEFINED_TABLE: Final = "42P01"
UNDEFINED_COLUMN: Final = "42703"
INVALID_SCHEMA_NAME: Final = "3F000"
CHARACTER_NOT_IN_REPERTOIRE: Final = "22021"
UNTRANSLATABLE_CHARACTER: Final = "22P05"
INVALID_BINARY_REPRESENTATION: Final = "22P03"
INVALID_STATEMENT_NAME: Final = "26000"
DUPLICATE_PREPARED_STATEMENT: Final = "42P05"
PROTOCOL_VIOLATION: Final = "08P01"
CHECK_VIOLATION: Final = "23514"
INSUFFICIENT_PRIVILEGE: Final = "42501"
INVALID_CATALOG_NAME: Final = "3D000"
READ_ONLY_SQL_TRANSACTION: Final = "25006"
NO_ACTIVE_SQL_TRANSACTION: Final = "25P01"
IN_FAILED_SQL_TRANSACTION: Final = "25P02"
DEADLOCK_DETECTED: Final = "40P01"
SERIALIZATION_FAILURE: Final = "40001"
TOO_MANY_CONNECTIONS: Final = "53300"
LOCK_NOT_AVAILABLE: Final = "55P03"
QUERY_CANCELED: Final = "57014"
# Classes: the first two characters of a code.
CONNECTION_EXCEPTION: Final = "08"
DATA_EXCEPTION: Final = "22"
CONSTRAINT_VIOLATION: Final = "23"
INVALID_AUTHORIZATION: Final = "28"
INSUFFICIENT_RESOURCES: Final = "53"
OPERATOR_INTERVENTION: Final = "57"

_LOST_TO_ANOTHER = {DEADLOCK_DETECTED, SERIALIZATION_FAILURE, LOCK_NOT_AVAILABLE}
_NOT_MIGRATED = {UNDEFINED_TABLE, UNDEFINED_COLUMN, INVALID_SCHEMA_NAME}
_AWAY_CLASSES = {
    CONNECTION_EXCEPTION,
    OPERATOR_INTERVENTION,
    INSUFFICIENT_RESOURCES,
    # It does not let us in.
    INVALID_AUTHORIZATION,
    INVALID_CATALOG_NAME[:2],
}
_MAY_BE_THE_VALUES_CLASSES = {DATA_EXCEPTION, CONSTRAINT_VIOLATION}
# In the name of a class of asyncpg: the places between two words.
_WORD_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def sqlstate(error: BaseException) -> str | None:
    """Return the code of an error of SQLAlchemy or a driver; None if it has none."""
    wrapped = getattr(error, "orig", error)
    # asyncpg and psycopg have the first name, psycopg2 has the second.
    state: str | None = getattr(wrapped, "sqlstate", None) or getattr(wrapped, "pgcode", None)
    return state


def original(error: BaseException) -> BaseException:
    """Return the driver's error that SQLAlchemy has wrapped; the error itself if it is not wrapped."""
    wrapped = getattr(error, "orig", error)
    return getattr(wrapped, "__cause__", None) or wrapped


def condition(error: BaseException) -> str | None:
    """Return the name of an error's condition, such as `insufficient_privilege`; None without a code.

    The names are those of the driver's classes, which are nearly always those of PostgreSQL. They
    hold no value, unlike the message.
    """
    if sqlstate(error) is None:
        return None
    name = type(original(error)).__name__
    return _WORD_BEGINS.sub("_", name.removesuffix("Error")).lower()


def is_lost_to_another(error: BaseException) -> bool:
    """Whether another transaction is the cause: a deadlock, a serialization failure, a held lock."""
    return sqlstate(error) in _LOST_TO_ANOTHER


def is_not_migrated(error: BaseException) -> bool:
    """Whether a table or a column is missing."""
    return sqlstate(error) in _NOT_MIGRATED


def may_be_the_values(error: BaseException) -> bool:
    """Whether the values of the statement may be the cause: one does not fit, or breaks a constraint."""
    return (sqlstate(error) or "")[:2] in _MAY_BE_THE_VALUES_CLASSES


def is_of_the_encoding(error: BaseException) -> bool:
    """Whether a text has a character that the database's encoding, or jsonb, cannot store."""
    return sqlstate(error) in {CHARACTER_NOT_IN_REPERTOIRE, UNTRANSLATABLE_CHARACTER}


def is_read_only(error: BaseException) -> bool:
    """Whether the server takes no writes, such as one that was primary before a failover."""
    return sqlstate(error) == READ_ONLY_SQL_TRANSACTION


def is_away(error: DBAPIError) -> bool:
    """Whether PostgreSQL is down, full or read-only or does not let us in, whatever the statement."""
    return (
        error.connection_invalidated
        or is_read_only(error)
        or (sqlstate(error) or "")[:2] in _AWAY_CLASSES
        # asyncpg raises this if the connection broke in the middle of an answer.
        or isinstance(getattr(error.orig, "__cause__", None), asyncpg.InternalClientError)
    )


async def run_with_retries(
    attempt: Callable[[], Awaitable[ResultT]],
    *,
    delays_s: Sequence[float],
    on_retry: Callable[[str], None] | None = None,
) -> ResultT:
    """Run a transaction, and run it again after each delay if it lost to another transaction.

    `on_retry` is called with the code. Any other error is raised at once, and so is every error of
    the last attempt.
    """
    for delay_s in delays_s:
        try:
            return await attempt()
        except (DBAPIError, asyncpg.PostgresError) as error:
            if not is_lost_to_another(error):
                raise
            if on_retry is not None:
                on_retry(sqlstate(error) or "")
        await asyncio.sleep(delay_s)
    return await attempt()
