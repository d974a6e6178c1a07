"""`imagegen personas new`: the folder of a new persona, made from a graph."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagegen.cli import persona_check
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option

if TYPE_CHECKING:
    from imagegen.workflows.new_persona import NewPersona

# A name that can be a folder everywhere, and that a folder of no persona cannot have.
_NAME = re.compile(r"[^\W_][\w -]{0,59}(?<! )")


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A graph in API format, or a PNG of ComfyUI.",
)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the folder is made; PERSONAS_DIR, if left out.",
)
@timeout_option("How long the hosts may take.")
def new(*, name: str, source: Path, into: Path | None, timeout_s: float) -> None:
    """Write the folder of a persona with the graph of FILE, and check it.

    Its persona.toml describes nobody in particular: write there who is drawn. The output is that of
    `imagegen personas check`. Ends with 1 if a worker would not draw it; what hosts lack, and
    whether they answer, makes no difference.
    """
    with extra("worker"):
        from imagegen.workflows.errors import WorkflowFault
        from imagegen.workflows.graph_file import read_graph
        from imagegen.workflows.new_persona import PersonaExists, write_persona
        from imagegen.workflows.workflow_report import report_on_persona

    if not _NAME.fullmatch(name):
        exit_with(f"{name!r} is no name: up to 60 letters, digits, spaces, - and _", code=2)
    directory = into or _personas_dir()
    try:
        persona = write_persona(directory, name.casefold(), read_graph(source))
    except WorkflowFault as fault:
        exit_with(str(fault), code=1)
    except PersonaExists as error:
        exit_with(str(error), code=2)
    except OSError as error:
        exit_with(f"{directory} cannot be written: {error.strerror}", code=2)
    click.echo("\n".join([f"written: {persona.folder}", *_choices(persona), ""]))
    report = report_on_persona(persona.folder)
    persona_check.show([report], timeout_s=timeout_s)
    sys.exit(1 if report.workflow is None else 0)


def _choices(persona: "NewPersona") -> Iterator[str]:
    """Yield what was chosen for persona.toml, for the person who goes on writing it."""
    if persona.name_fault is not None:
        yield (
            f"display_name is {persona.display_name}, since the folder's name {persona.name_fault}:"
            " write the name that you like"
        )
    if persona.trigger_words:
        words = ", ".join(persona.trigger_words)
        yield f"trigger_words are those of the graph's prompt: {words}"
    if persona.needs_trigger_words:
        yield (
            "trigger_words is empty, as none was found in the graph's prompt: write the words on"
            " which the LoRA was trained"
        )


def _personas_dir() -> Path:
    from chatflow_hook.settings import BadSetting, read
    from imagegen.settings import LibrarySettings

    try:
        directory = read(LibrarySettings).personas_dir
    except BadSetting as error:
        exit_with(str(error), code=2)
    if directory is None:
        exit_with("PERSONAS_DIR is not set: say with --into where the folder is made", code=2)
    return directory
