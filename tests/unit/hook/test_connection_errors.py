"""Why a connection failed, in words."""

import errno

from chatflow_hook import connection_errors


def test_a_file_that_this_account_may_not_look_at_is_named() -> None:
    # As asyncpg raises it in a process that kept root's HOME.
    error = PermissionError(
        errno.EACCES, "Permission denied", "/home/bot/.postgresql/postgresql.key"
    )

    reason = connection_errors.reason(error)

    assert reason == (
        "cannot be reached, since this account may not look at /home/bot/.postgresql/postgresql.key"
    )


def test_a_connection_without_a_file_is_told_by_the_name_of_its_error() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")

    assert connection_errors.reason(error) == "cannot be reached: EACCES"
