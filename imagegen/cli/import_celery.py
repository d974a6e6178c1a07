"""`imagegen import-celery`: pictures that still wait in a Celery service's Redis become requests."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.maintenance.celery_import import ImportedEntry

_ENQUEUE_WITHIN_S = 1.0


@click.command("import-celery")
@click.option(
    "--redis-db",
    "db",
    type=click.IntRange(0, 1023),
    default=3,
    show_default=True,
    metavar="NUMBER",
    help="The Redis database of Celery's broker.",
)
@click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Say what would be done, and do nothing."
)
@click.option(
    "--taken",
    "takes_unacked",
    is_flag=True,
    help="Also what a Celery worker had taken and not begun. Only once it has stopped.",
)
@output.json_option
def import_celery(*, db: int, is_dry_run: bool, takes_unacked: bool, is_json: bool) -> None:
    """Make requests of the pictures that a Celery service has not drawn yet.

    May be run again: a picture is imported once, and neither lost nor drawn by Celery as well.
    """
    with extra("worker"):
        from redis.exceptions import RedisError

        from chatflow_hook import redis_errors
        from chatflow_hook.settings import BadSetting, RedisSettings, read
        from imagegen.bootstrap import workflow_library
        from imagegen.cli.session import run_in_session
        from imagegen.maintenance.celery_import import CeleryImport
        from imagegen.queue import connections
        from imagegen.settings import LibrarySettings

    try:
        place = read(RedisSettings).redis
        library = workflow_library(read(LibrarySettings))
    except BadSetting as error:
        exit_with(str(error), code=2)

    async def work(session: "CommandSession") -> "list[ImportedEntry]":
        try:
            async with connections.silent_connection(place, db=db) as redis:
                importer = CeleryImport(
                    session.engine,
                    redis,
                    library,
                    is_dry_run=is_dry_run,
                    takes_unacked=takes_unacked,
                )
                entries = [entry async for entry in importer.run()]
        except (RedisError, OSError) as error:
            if redis_errors.is_no_such_database(error):
                exit_with(f"--redis-db: {place.address} has no database {db}", code=2)
            exit_with(redis_errors.why(error, place.address, user=place.user), code=2)
        if not is_dry_run:
            for entry in entries:
                if entry.request_id is not None:
                    await session.queue_client.enqueue(entry.request_id, within_s=_ENQUEUE_WITHIN_S)
        return entries

    entries = run_in_session(work)
    if not entries:
        click.echo(
            f"imagegen: Redis database {db} has no messages of Celery; --redis-db names another one",
            err=True,
        )
    if is_json:
        output.show_json([asdict(entry) for entry in entries])
    else:
        output.show(["\n".join([*map(_line, entries), _sum(entries, is_dry_run=is_dry_run)])])


def _line(entry: "ImportedEntry") -> str:
    if entry.why is not None:
        return f"{entry.task_id}: no, {entry.why}"
    how = "" if entry.is_new else ", imported before"
    return f"{entry.task_id}: {entry.persona} for chat {entry.chat_id}{how}"


def _sum(entries: "list[ImportedEntry]", *, is_dry_run: bool) -> str:
    new, kept = (
        sum(entry.is_new for entry in entries),
        sum(entry.why is not None for entry in entries),
    )
    verb = "would be imported" if is_dry_run else "imported"
    return f"{new} {verb}, {kept} left where they are"
