"""Why a turn was not recorded: sentences that say what to do and hold no value."""

import errno
import socket

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from chatflow_hook.failures import cause_of
from chatflow_hook.outbox import DialogUnknownError


def refused(sqlstate: str, *, is_lost: bool = False) -> DBAPIError:
    """Return the error that SQLAlchemy raises for this SQLSTATE."""
    original = asyncpg.PostgresError("marmalade")
    original.sqlstate = sqlstate
    return DBAPIError("SELECT marmalade", {}, original, connection_invalidated=is_lost)


@pytest.mark.parametrize(
    ("error", "words", "lasts"),
    [
        (refused("42P01"), "run `imagegen migrate`", True),
        (refused("42703"), "run `imagegen migrate`", True),
        (refused("42501"), "grant", True),
        (refused("28P01"), "DATABASE_URL", True),
        (refused("3D000"), "DATABASE_URL", True),
        (refused("53300"), "connections", True),
        (refused("57P03"), "is away", True),
        (refused("25P01"), "autocommit", True),
        (refused("22003"), "does not fit", True),
        (refused("25P02"), "failed before", False),
        (refused("55P03"), "held the dialog", False),
        (refused("57014"), "took too long", False),
        (refused("40P01"), "deadlock", False),
        (refused("40001"), "serialisation", False),
        (refused("42P05"), "write pgbouncer=true into DATABASE_URL", True),
        (refused("26000"), "write pgbouncer=true into DATABASE_URL", True),
        (refused("08P01"), "is away", True),
        (refused("XX000"), "refused", True),
        (refused("", is_lost=True), "is away", True),
        (asyncpg.InvalidPasswordError("marmalade"), "DATABASE_URL", True),
        (asyncpg.InterfaceError("marmalade"), "is away", True),
        (asyncpg.InternalClientError("marmalade"), "is away", True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "marmalade"), "is away: it refuses the", True),
        (socket.gaierror(-2, "marmalade"), "is away: it has a host name that is not known", True),
        (ConnectionError("marmalade rejected SSL upgrade"), "does not speak TLS", True),
        (asyncpg.ClientConfigurationError("marmalade"), "verify-full need sslrootcert", True),
        (TimeoutError("marmalade"), "no time", True),
        (DialogUnknownError("marmalade"), "no such dialog", True),
    ],
    ids=lambda value: getattr(getattr(value, "orig", None), "sqlstate", None),
)
def test_a_cause_has_its_words_and_none_of_the_errors(
    *, error: Exception, words: str, lasts: bool
) -> None:
    why = cause_of(error)

    assert words in why.sentence
    assert "marmalade" not in why.sentence
    assert why.lasts is lasts
