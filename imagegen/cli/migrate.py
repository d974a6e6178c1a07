"""`imagegen migrate`: migrate the database to the newest schema."""

import sys

import click

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen.cli.exits import extra
from imagegen.errors import ImagegenError


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema, like `alembic upgrade head`."""
    with extra("worker"):
        from imagegen.db import migrations

    try:
        migrations.upgrade(read(HookSettings).database_url.get_secret_value())
    except (BadSetting, ImagegenError) as error:
        sys.exit(f"imagegen: {error}")
    click.echo("the database is up to date")
