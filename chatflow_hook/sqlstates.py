"""PostgreSQL's error codes (SQLSTATE), and transactions that are repeated after some of them.

The codes are those of PostgreSQL's documentation, appendix A.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

ResultT = TypeVar("ResultT")

UNDEFINED_TABLE: Final = "42P01"
UNDEFINED_COLUMN: Final = "42703"
INVALID_SCHEMA_NAME: Final = "3F000"
CHECK_VIOLATION: Final = "23514"
INSUFFICIENT_PRIVILEGE: Final = "42501"
INVALID_CATALOG_NAME: Final = "3D000"
READ_ONLY_SQL_TRANSACTION: Final = "25006"
NO_ACTIVE_SQL_TRANSACTION: Final = "25P01"
IN_FAILED_SQL_TRANSACTION: Final = "25P02"
DEADLOCK_DETECTED: Final = "40P01"
SERIALIZATION_FAILURE: Final = "40001"
LOCK_NOT_AVAILABLE: Final = "55P03"
QUERY_CANCELED: Final = "57014"
# Classes: the first two characters of a code.
CONNECTION_EXCEPTION: Final = "08"
DATA_EXCEPTION: Final = "22"
INVALID_AUTHORIZATION: Final = "28"
INSUFFICIENT_RESOURCES: Final = "53"
OPERATOR_INTERVENTION: Final = "57"

_LOST_TO_ANOTHER = {DEADLOCK_DETECTED, SERIALIZATION_FAILURE, LOCK_NOT_AVAILABLE}
_NOT_MIGRATED = {UNDEFINED_TABLE, UNDEFINED_COLUMN}
_AWAY_CLASSES = {CONNECTION_EXCEPTION, OPERATOR_INTERVENTION, INSUFFICIENT_RESOURCES}


def sqlstate(error: BaseException) -> str | None:
    """Return the code of an error of SQLAlchemy or asyncpg; None if it has none."""
    state: str | None = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state


def is_lost_to_another(error: BaseException) -> bool:
    """Whether another transaction is the cause: a deadlock, a serialization failure, a held lock."""
    return sqlstate(error) in _LOST_TO_ANOTHER


def is_not_migrated(error: BaseException) -> bool:
    """Whether a table or a column is missing."""
    return sqlstate(error) in _NOT_MIGRATED


def is_away(error: DBAPIError) -> bool:
    """Whether PostgreSQL is down or out of resources, so that the statement is not the cause."""
    return (
        error.connection_invalidated
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
