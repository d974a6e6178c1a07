"""`imagegen demo`: a chat with each persona up to the photo, on servers of its own."""

import sys
from pathlib import Path

import click

from imagegen import resources
from imagegen.cli.exits import extra
from imagegen.errors import ImagegenError


@click.command()
@click.option("--once", is_flag=True, help="End after the last picture; else the chats stay up.")
@click.option("--chat", is_flag=True, help="Chat yourself, on a web page, until Ctrl-C.")
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
def demo(  # noqa: PLR0913 (the options)
    *, once: bool, chat: bool, personas: str, comfyui: str | None, workflows: Path | None, out: Path
) -> None:
    """Show the main job on this machine: a chat with each persona, up to the photo.

    It starts servers of its own and reads no setting, neither from the environment nor from .env:
    your database, Redis, hosts and bot are not touched, but for hosts named by --comfyui.
    """
    with extra("sandbox"):
        from rich.console import Console

        from imagegen import logs
        from imagegen.sandbox.demo import demo as demo_runner
        from imagegen.sandbox.errors import SandboxError
        from imagegen.sandbox.signals import sigterm_exits

    options = demo_runner.DemoOptions(
        personas=[name for name in personas.split(",") if name.strip()],
        comfyui=comfyui,
        workflows=workflows or resources.path("workflows"),
        out=out,
        stay=not once,
        chat=chat,
    )
    logs.only_warnings()
    with sigterm_exits():
        try:
            demo_runner.run_demo(options, Console())
        except (ImagegenError, SandboxError, OSError) as error:
            sys.exit(f"imagegen demo: {error}")
