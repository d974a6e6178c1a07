"""`imagegen purge` and `imagegen forget`: what was kept is erased."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from chatflow_hook.tables import NOBODY
from chatflow_hook.user_erasure import NOT_A_USER
from imagegen.extras import extra

if TYPE_CHECKING:
    from imagegen.errand import Errand
    from imagegen.maintenance.retention import RetentionCounts
    from imagegen.maintenance.user_erasure import ErasureReport

_AS_JSON = click.option("--json", "is_json", is_flag=True, help="For programs.")


@click.command()
@click.option("--dry-run", "is_rehearsal", is_flag=True, help="Count, and erase nothing.")
@_AS_JSON
def purge(*, is_rehearsal: bool, is_json: bool) -> None:
    """Erase at once all that has been kept for long enough; workers do it bit by bit."""
    with extra("worker"):
        from imagegen import errand
        from imagegen.errors import Unavailable
        from imagegen.maintenance.image_cleanup import ImageCleanup
        from imagegen.maintenance.retention import Retention

    async def work(given: "Errand") -> "RetentionCounts":
        if given.images is None:
            raise Unavailable("the directory of IMAGE_STORE is not on this machine")
        tidy = Retention(given.engine, ImageCleanup(given.engine, given.images), given.limits)
        return await (tidy.due() if is_rehearsal else tidy.everything())

    tidied = errand.run(work)
    click.echo(
        json.dumps({"dry_run": is_rehearsal, **asdict(tidied)}, indent=2)
        if is_json
        else tidied.as_text(is_rehearsal=is_rehearsal)
    )


def _somebody(_: click.Context, __: click.Parameter, user: int) -> int:
    if user == NOBODY:
        raise click.BadParameter(NOT_A_USER)
    return user


@click.command()
@click.argument(
    "user", type=click.IntRange(-(2**63), 2**63 - 1), metavar="USER", callback=_somebody
)
@_AS_JSON
def forget(*, user: int, is_json: bool) -> None:
    """Erase everything of the Telegram user with the id USER, and say what is beyond reach."""
    with extra("worker"):
        from imagegen import errand
        from imagegen.maintenance import user_erasure

    async def work(given: "Errand") -> "ErasureReport":
        return await user_erasure.erase_user(given.engine, given.images, given.doorbell, user)

    farewell = errand.run(work)
    click.echo(
        json.dumps(user_erasure.as_json(farewell), indent=2)
        if is_json
        else user_erasure.as_text(farewell)
    )
