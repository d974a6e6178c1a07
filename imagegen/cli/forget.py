"""`imagegen forget`: everything of one user is erased."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from chatflow_hook.tables import NOBODY
from chatflow_hook.user_erasure import NOT_A_USER
from imagegen.cli import output
from imagegen.cli.exits import extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.maintenance.user_erasure import UserErasureReport


def _check_user(_: click.Context, __: click.Parameter, user: int) -> int:
    if user == NOBODY:
        raise click.BadParameter(NOT_A_USER)
    return user


@click.command()
@click.argument(
    "user", type=click.IntRange(-(2**63), 2**63 - 1), metavar="USER", callback=_check_user
)
@click.option(
    "--dialog",
    "dialog_ids",
    type=click.IntRange(-(2**63), 2**63 - 1),
    metavar="ID",
    multiple=True,
    help="A dialog of the user in which no picture was requested yet. More than once for several.",
)
@output.json_option
def forget(*, user: int, dialog_ids: Sequence[int], is_json: bool) -> None:
    """Erase everything of the Telegram user with the id USER, and say what is beyond reach."""
    with extra("worker"):
        from imagegen.cli.erasure_report import erasure_as_json, erasure_as_text
        from imagegen.cli.session import run_in_session
        from imagegen.maintenance import user_erasure

    async def work(session: "CommandSession") -> "UserErasureReport":
        return await user_erasure.erase_user(
            session.engine,
            session.images,
            session.queue_client,
            user,
            dialog_ids=dialog_ids,
            hash_secret=session.hash_secret,
        )

    report = run_in_session(work)
    if is_json:
        output.show_json(erasure_as_json(report))
    else:
        output.show([erasure_as_text(report)])
