"""The `imagegen` command."""

import sys

import click

from chatflow_hook.settings import BadSetting, HookSettings, read


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatflow-imagegen")
def main() -> None:
    """Draw pictures for ChatFlow conversations on a fleet of ComfyUI hosts."""


@main.command()
def worker() -> None:
    """Run the worker, like `arq imagegen.worker.WorkerSettings`."""
    from arq.worker import run_worker

    from imagegen.worker import WorkerSettings

    run_worker(WorkerSettings)


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema, like `alembic upgrade head`."""
    from imagegen import migrations

    try:
        migrations.upgrade(read(HookSettings).database_url.get_secret_value())
    except BadSetting as error:
        sys.exit(f"imagegen: {error}")
    click.echo("the database is up to date")
