"""`imagegen migrate`: migrate the database to the newest schema, or take our part of it out."""

import sys

import click

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen.cli.exits import extra
from imagegen.errors import ImagegenError

_QUESTION = (
    "This erases all requests, deliveries and age confirmations in {place}, and drops our tables"
    " and our columns of dialogs. The bot's own tables, columns and rows stay. Go on?"
)


@click.command()
@click.option("--down", "is_down", is_flag=True, help="Take everything of ours out again.")
@click.option("--yes", "is_confirmed", is_flag=True, help="With --down: do not ask.")
def migrate(*, is_down: bool, is_confirmed: bool) -> None:
    """Bring the database to the newest schema, like `alembic upgrade head`.

    With --down it is brought back to what it was without us, like `alembic downgrade base`.
    """
    with extra("worker"):
        from imagegen.db import migrations

    if is_confirmed and not is_down:
        raise click.UsageError("--yes goes with --down.")
    try:
        settings = read(HookSettings)
        database_url = settings.database_url.get_secret_value()
        if not is_down:
            migrations.upgrade(database_url)
        elif is_confirmed or click.confirm(_QUESTION.format(place=settings.database.place)):
            migrations.downgrade(database_url)
        else:
            sys.exit("imagegen: nothing was changed")
    except (BadSetting, ImagegenError) as error:
        sys.exit(f"imagegen: {error}")
    click.echo("nothing of ours is in the database" if is_down else "the database is up to date")
