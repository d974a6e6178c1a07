"""`imagegen purge` and `imagegen forget`: erase what is old, and erase all of one user."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from chatflow_hook.tables import NOBODY
from chatflow_hook.user_erasure import NOT_A_USER
from imagegen.cli.extras import extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.maintenance.retention import RetentionCounts
    from imagegen.maintenance.user_erasure import ErasureReport

_AS_JSON = click.option("--json", "is_json", is_flag=True, help="For programs.")


@click.command()
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Count, and erase nothing.")
@_AS_JSON
def purge(*, is_dry_run: bool, is_json: bool) -> None:
    """Erase at once all that has been kept for long enough; workers do it bit by bit."""
    with extra("worker"):
        from imagegen.cli.erasure_report import purge_as_text
        from imagegen.cli.session import run_in_session
        from imagegen.errors import Unavailable
        from imagegen.maintenance.image_cleanup import ImageCleanup
        from imagegen.maintenance.retention import Retention

    async def work(session: "CommandSession") -> "RetentionCounts":
        if session.images is None:
            raise Unavailable("the directory of IMAGE_STORE is not on this machine")
        retention = Retention(
            session.engine, ImageCleanup(session.engine, session.images), session.limits
        )
        return await (retention.due() if is_dry_run else retention.everything())

    counts = run_in_session(work)
    click.echo(
        json.dumps({"dry_run": is_dry_run, **asdict(counts)}, indent=2)
        if is_json
        else purge_as_text(counts, is_dry_run=is_dry_run)
    )


def _check_user(_: click.Context, __: click.Parameter, user: int) -> int:
    if user == NOBODY:
        raise click.BadParameter(NOT_A_USER)
    return user


@click.command()
@click.argument(
    "user", type=click.IntRange(-(2**63), 2**63 - 1), metavar="USER", callback=_check_user
)
@_AS_JSON
def forget(*, user: int, is_json: bool) -> None:
    """Erase everything of the Telegram user with the id USER, and say what is beyond reach."""
    with extra("worker"):
        from imagegen.cli.erasure_report import erasure_as_json, erasure_as_text
        from imagegen.cli.session import run_in_session
        from imagegen.maintenance import user_erasure

    async def work(session: "CommandSession") -> "ErasureReport":
        return await user_erasure.erase_user(
            session.engine, session.images, session.queue_client, user
        )

    report = run_in_session(work)
    click.echo(
        json.dumps(erasure_as_json(report), indent=2) if is_json else erasure_as_text(report)
    )
