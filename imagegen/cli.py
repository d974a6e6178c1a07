"""The `imagegen` command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen import shipped
from imagegen.errors import ImagegenError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatflow-imagegen")
def main() -> None:
    """Draw pictures for ChatFlow conversations on a fleet of ComfyUI hosts."""


@main.command()
def worker() -> None:
    """Run the worker, like `arq imagegen.worker.WorkerSettings`."""
    with _extra("worker"):
        from arq.worker import run_worker

        from imagegen.worker import WorkerSettings

    run_worker(WorkerSettings)


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema, like `alembic upgrade head`."""
    with _extra("worker"):
        from imagegen import migrations

    try:
        migrations.upgrade(read(HookSettings).database_url.get_secret_value())
    except (BadSetting, ImagegenError) as error:
        sys.exit(f"imagegen: {error}")
    click.echo("the database is up to date")


@main.command()
@click.option("--once", is_flag=True, help="End after the last picture; else the chats stay up.")
@click.option("--personas", metavar="NAME,…", default="", help="Only these personas.")
@click.option("--comfyui", metavar="HOST:PORT,…", help="Real hosts instead of the sandbox.")
@click.option(
    "--workflows",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Persona workflows; those that are shipped if left out.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Where the pictures are written.",
)
def demo(
    *, once: bool, personas: str, comfyui: str | None, workflows: Path | None, out: Path
) -> None:
    """Show the main job on this machine: a chat with each persona, up to the photo."""
    with _extra("sandbox"):
        from rich.console import Console

        from imagegen import logs
        from imagegen.sandbox import demo as show
        from imagegen.sandbox.errors import SandboxError
        from imagegen.sandbox.signals import sigterm_exits

    options = show.Options(
        personas=[name for name in personas.split(",") if name.strip()],
        comfyui=comfyui,
        workflows=workflows or shipped.path("workflows"),
        out=out,
        stay=not once,
    )
    logs.only_warnings()
    with sigterm_exits():
        try:
            show.run(options, Console())
        except (ImagegenError, SandboxError, OSError) as error:
            sys.exit(f"imagegen demo: {error}")
        except KeyboardInterrupt:
            sys.exit(130)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say in a sentence which extra the imports of the block come with, if they are not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in {"imagegen", "chatflow_hook"}:
            raise
        sys.exit(f"imagegen: {library} is missing: pip install 'chatflow-imagegen[{name}]'")
