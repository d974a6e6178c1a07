"""The `imagegen` command."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen import resources
from imagegen.covers_command import covers
from imagegen.erasing_commands import forget, purge
from imagegen.errors import ImagegenError
from imagegen.extras import extra as _extra
from imagegen.prompt_command import prompt
from imagegen.requests_command import requests


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatflow-imagegen")
def main() -> None:
    """Draw pictures for ChatFlow conversations on a fleet of ComfyUI hosts."""


@main.command()
def worker() -> None:
    """Run the worker, like `arq imagegen.worker.WorkerSettings`."""
    with _extra("worker"):
        from imagegen.queue import shutdown

        # What follows takes seconds to import.
        shutdown.install_signal_handlers()
        from imagegen.worker import run

    run()


@main.command()
@click.option(
    "--ready", is_flag=True, help="Whether it can make pictures, not only whether it lives."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to answer.",
)
def probe(*, ready: bool, timeout_s: float) -> None:
    """Ask the worker at WEB_HOST and WEB_PORT how it is.

    Ends with 1 if it does not answer, or is not ready.
    """
    from imagegen.web.knock import knock
    from imagegen.web_settings import WebSettings

    try:
        chosen = read(WebSettings)
    except BadSetting as error:
        click.echo(f"imagegen: {error}", err=True)
        sys.exit(2)
    path = "/readyz" if ready else "/healthz"
    answer = knock(chosen.web_host, chosen.web_port, path, timeout_s=timeout_s)
    click.echo(answer.said, err=not answer.is_good)
    sys.exit(0 if answer.is_good else 1)


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema, like `alembic upgrade head`."""
    with _extra("worker"):
        from imagegen.db import migrations

    try:
        migrations.upgrade(read(HookSettings).database_url.get_secret_value())
    except (BadSetting, ImagegenError) as error:
        sys.exit(f"imagegen: {error}")
    click.echo("the database is up to date")


@main.command()
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a host may take to answer.",
)
def hosts(*, is_json: bool, timeout_s: float) -> None:
    """Show each ComfyUI host: how it is, what it has, which personas it can draw.

    Ends with 1 if a host is down or a persona can be drawn nowhere.
    """
    with _extra("worker"):
        from imagegen import hosts as page
        from imagegen import inspection

    try:
        rows = inspection.run(timeout_s=timeout_s)
    except (BadSetting, ImagegenError) as error:
        click.echo(f"imagegen: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps(page.as_json(rows), indent=2) if is_json else page.as_text(rows))
    sys.exit(0 if page.is_well(rows) else 1)


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
    """Show the main job on this machine: a chat with each persona, up to the photo.

    It starts servers of its own and reads no setting, neither from the environment nor from .env:
    your database, Redis, hosts and bot are not touched, but for hosts named by --comfyui.
    """
    with _extra("sandbox"):
        from rich.console import Console

        from imagegen import logs
        from imagegen.sandbox import demo as show
        from imagegen.sandbox.errors import SandboxError
        from imagegen.sandbox.signals import sigterm_exits

    options = show.Options(
        personas=[name for name in personas.split(",") if name.strip()],
        comfyui=comfyui,
        workflows=workflows or resources.path("workflows"),
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


@main.group()
def sandbox() -> None:
    """Stand-ins for what a machine lacks, for those who write clients of it."""


class _WithFaults(click.Command):
    """Lists the faults under the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with _extra("sandbox"):
            from imagegen.sandbox.comfyui.standalone import explained
        with formatter.section("Faults, each with its own parameters"):
            formatter.write_dl(explained())
        super().format_epilog(ctx, formatter)


@sandbox.command(
    cls=_WithFaults,
    context_settings={"max_content_width": 120},
    epilog="All faults take times=N or times=ever (once if left out), after=N (so many occasions"
    " pass first) and chance=0…1. docs/sandbox.md explains them.",
)
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=8188,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--version",
    type=click.Choice(["0.33", "0.3.64"]),
    default="0.33",
    show_default=True,
    help="The ComfyUI that it plays.",
)
@click.option(
    "--seconds-per-picture",
    metavar="S",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="How long a sampler draws.",
)
@click.option(
    "--model-load-seconds",
    metavar="S",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="What it costs to load other models than the last.",
)
@click.option(
    "--model",
    "models",
    metavar="FOLDER=FILE",
    multiple=True,
    help="A model file that it has, more than once if you like; else what the personas need.",
)
@click.option(
    "--fault",
    "faults",
    metavar="KIND:NAME=VALUE,…",
    multiple=True,
    help="Something that goes wrong, more than once if you like; see below.",
)
@click.option("--seed", type=int, help="Makes faults that come by chance repeatable.")
def comfyui(**given: Any) -> None:
    """Play a ComfyUI host that needs no GPU and misbehaves on request."""
    with _extra("sandbox"):
        from imagegen import logs
        from imagegen.sandbox.comfyui import standalone
        from imagegen.sandbox.errors import SandboxError

    logs.configure("console")
    try:
        host = standalone.build(standalone.Options(**given))
    except SandboxError as error:
        click.echo(f"imagegen sandbox comfyui: {error}", err=True)
        sys.exit(2)
    try:
        standalone.run(host, click.echo)
    except (ImagegenError, OSError) as error:
        sys.exit(f"imagegen sandbox comfyui: {error}")


main.add_command(requests)
main.add_command(covers)
main.add_command(purge)
main.add_command(forget)
main.add_command(prompt)
