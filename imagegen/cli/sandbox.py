"""`imagegen sandbox`: run the simulators of ComfyUI and Telegram."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagegen.cli.exits import extra
from imagegen.errors import ImagegenError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@click.group()
def sandbox() -> None:
    """Stand-ins for what a machine lacks, for those who write clients of it."""


class _CommandWithFaults(click.Command):
    """A command whose help lists the faults below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Faults, each with its own parameters"):
            formatter.write_dl(self.faults())
        super().format_epilog(ctx, formatter)

    def faults(self) -> list[tuple[str, str]]:
        """List the faults with their lines of help."""
        with extra("simulator"):
            from imagegen.sandbox.comfyui.standalone import fault_help
        return fault_help()


class _TelegramCommand(_CommandWithFaults):
    def faults(self) -> list[tuple[str, str]]:
        with extra("simulator"):
            from imagegen.sandbox.telegram.standalone import telegram_fault_help
        return telegram_fault_help()


def _address_options(*, port: int) -> Callable[[CommandT], CommandT]:
    """Add the options that say where a simulator listens."""

    def add(command: CommandT) -> CommandT:
        command = click.option(
            "--port",
            metavar="PORT",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="0 takes a free one.",
        )(command)
        host = click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True)
        return host(command)

    return add


_FAULT_OPTION = click.option(
    "--fault",
    "faults",
    metavar="KIND:NAME=VALUE,…",
    multiple=True,
    help="Something that goes wrong, more than once if you like; see below.",
)


@sandbox.command(
    cls=_CommandWithFaults,
    context_settings={"max_content_width": 120},
    epilog="All faults take times=N or times=ever (once if left out), after=N (so many occasions"
    " pass first) and chance=0…1. docs/sandbox.md explains them.",
)
@_address_options(port=8188)
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
    help="A model file that it has instead of those of the shipped personas; more than once for"
    " several.",
)
@_FAULT_OPTION
@click.option("--seed", type=int, help="Makes faults that come by chance repeatable.")
def comfyui(**options: Any) -> None:
    """Play a ComfyUI host that needs no GPU and misbehaves on request."""
    with extra("simulator"):
        from imagegen import logs, resources
        from imagegen.sandbox.comfyui import standalone
        from imagegen.sandbox.errors import SandboxError
        from imagegen.workflows.library import load_workflows, required_model_files

    logs.configure("console")
    try:
        host = standalone.build_host(
            standalone.SimulatorOptions(**options),
            default_models={
                folder: sorted(names)
                for folder, names in required_model_files(
                    load_workflows(resources.path("workflows"))
                ).items()
            },
        )
    except SandboxError as error:
        click.echo(f"imagegen sandbox comfyui: {error}", err=True)
        sys.exit(2)
    try:
        standalone.run_host(host, click.echo)
    except (ImagegenError, OSError) as error:
        sys.exit(f"imagegen sandbox comfyui: {error}")


@sandbox.command(
    cls=_TelegramCommand,
    context_settings={"max_content_width": 120},
    epilog="All faults take method=NAME, chat=ID and times=N or times=ever (once if left out);"
    " accepted=yes means that the call is carried out all the same. docs/telegram-sandbox.md explains them.",
)
@_address_options(port=8081)
@click.option(
    "--token",
    metavar="TOKEN",
    default="42:SANDBOX-sandbox-SANDBOX-sandbox-000",
    show_default=True,
    help="The token of its only bot.",
)
@click.option(
    "--seconds-per-upload",
    metavar="S",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long an upload takes.",
)
@click.option("--flood-limits", is_flag=True, help="Refuse with 429 what comes too often.")
@_FAULT_OPTION
def telegram(**options: Any) -> None:
    """Play a Telegram Bot API whose chats can be used over HTTP, and which fails on request."""
    with extra("simulator"):
        from imagegen import logs
        from imagegen.sandbox.errors import SandboxError
        from imagegen.sandbox.telegram import standalone

    logs.configure("console")
    try:
        server = standalone.build_telegram(standalone.TelegramOptions(**options))
    except SandboxError as error:
        click.echo(f"imagegen sandbox telegram: {error}", err=True)
        sys.exit(2)
    try:
        standalone.run_telegram(server, click.echo)
    except ImagegenError as error:
        sys.exit(f"imagegen sandbox telegram: {error}")
