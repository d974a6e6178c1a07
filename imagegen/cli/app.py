"""The command group `imagegen`; each command is in a file of its own, imported when it is run."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import click

from imagegen.cli.exits import extra

_INTERRUPTED = 130  # 128 and the number of SIGINT


@dataclass(frozen=True, kw_only=True)
class CommandPlace:
    """Where a command is: a module of `imagegen.cli`, in which its function has the command's name.

    `summary` is the first sentence of its help, so that the list of commands needs no import.
    """

    module: str
    summary: str


COMMANDS: Mapping[str, CommandPlace] = {
    name: CommandPlace(module=module, summary=summary)
    for name, module, summary in (
        ("worker", "worker", "Run the worker, like `arq imagegen.worker.WorkerSettings`."),
        ("probe", "probe", "Ask the worker at WEB_HOST and WEB_PORT how it is."),
        (
            "doctor",
            "doctor",
            "Ask everything that a picture needs, at once, and say what is wrong and what to do next.",
        ),
        (
            "migrate",
            "migrate",
            "Bring the database to the newest schema, like `alembic upgrade head`.",
        ),
        (
            "hosts",
            "hosts",
            "Show each ComfyUI host: how it is, what it has, which personas it can draw.",
        ),
        (
            "requests",
            "requests",
            "Look at requests, follow one, try failed ones again, call open ones off.",
        ),
        (
            "personas",
            "personas",
            "Look at the personas of WORKFLOWS_DIR and PERSONAS_DIR, and put changed ones in force.",
        ),
        (
            "pause",
            "pauses",
            "Let the queued requests of a persona or a kind wait; all workers obey within seconds.",
        ),
        ("resume", "pauses", "End a pause: what still waits is drawn."),
        ("pauses", "pauses", "List what is paused, and since when."),
        (
            "prompt",
            "prompt",
            "Show what would be drawn for a dialog: prompt, rating, seed, cache key, the screen's word.",
        ),
        (
            "draw",
            "draw",
            "Draw TEXT, a description of the picture, with a persona on a ComfyUI host.",
        ),
        (
            "warm",
            "warm",
            "Let hosts load the models of personas, so that the first picture need not wait for that.",
        ),
        ("covers", "covers", "Draw covers of personas ahead; a running worker does it."),
        (
            "settings",
            "settings",
            "Show the settings of a worker as this directory and environment give them, without secrets.",
        ),
        (
            "costs",
            "costs",
            "Show what the drawn pictures cost, by HOST_PRICE_PER_HOUR; the dearest first.",
        ),
        (
            "purge",
            "purge",
            "Erase at once all that has been kept for long enough; workers do it bit by bit.",
        ),
        (
            "forget",
            "forget",
            "Erase everything of the Telegram user with the id USER, and say what is beyond reach.",
        ),
        (
            "import-celery",
            "import_celery",
            "Make requests of the pictures that a Celery service has not drawn yet.",
        ),
        (
            "lift",
            "lift",
            "Forget that a user, or the persona of a dialog, was said to be under 18.",
        ),
        (
            "demo",
            "demo",
            "Show the main job on this machine: a chat with each persona, up to the photo.",
        ),
        (
            "sandbox",
            "sandbox",
            "Stand-ins for what a machine lacks, for those who write clients of it.",
        ),
    )
}


class CommandGroup(click.Group):
    """A group that imports a command when it is run or asked for its help, and ends at Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C ends the process with the code that shells give it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's)
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's)
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        with extra("worker"):
            module: Any = importlib.import_module(f"imagegen.cli.{place.module}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        room = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=place.summary).get_short_help_str(room))
                    for name, place in sorted(COMMANDS.items(), key=itemgetter(0))
                ]
            )


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatflow-imagegen")
def main() -> None:
    """Draw pictures for ChatFlow conversations on a fleet of ComfyUI hosts."""
