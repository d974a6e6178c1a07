"""`imagegen purge`: what was kept long enough is erased at once."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.maintenance.retention_parts import RetentionCounts


@click.command()
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Count, and erase nothing.")
@output.json_option
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
        return await (retention.count_due() if is_dry_run else retention.erase_all_due())

    counts = run_in_session(work)
    if is_json:
        output.show_json({"dry_run": is_dry_run, **asdict(counts)})
    else:
        output.show([purge_as_text(counts, is_dry_run=is_dry_run)])
