"""`imagegen pause`, `resume` and `pauses`: the pictures of a persona or a kind wait."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from chatflow_hook.settings import BadSetting, read
from chatflow_hook.tables import Kind
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession


def _named(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name what to pause or resume."""
    persona = click.option(
        "--persona", "personas", metavar="NAME", multiple=True, help="More than once for several."
    )
    kind = click.option("--kind", "kinds", type=click.Choice([*map(str, Kind)]), multiple=True)
    return persona(kind(command))


@click.command()
@_named
def pause(*, personas: Sequence[str], kinds: Sequence[str]) -> None:
    """Let the queued requests of a persona or a kind wait; all workers obey within seconds.

    What is being drawn is finished. Requests expire as usual meanwhile.
    """
    _require_personas(personas)
    _change("pause", personas, kinds, {True: "paused", False: "was paused already"})


@click.command()
@_named
def resume(*, personas: Sequence[str], kinds: Sequence[str]) -> None:
    """End a pause: what still waits is drawn."""
    _change("resume", personas, kinds, {True: "resumed", False: "was not paused"})


@click.command()
@output.json_option
def pauses(*, is_json: bool) -> None:
    """List what is paused, and since when."""
    with extra("worker"):
        from imagegen.cli.session import run_in_session
        from imagegen.requests.pauses import Pauses

    found = run_in_session(lambda session: Pauses(session.engine).all())
    if is_json:
        rows = [
            {"scope": each.scope, "name": each.name, "paused_at": each.paused_at.isoformat()}
            for each in found
        ]
        output.show_json(rows)
        return
    if not found:
        output.show(["nothing is paused"])
        return
    cells = [(each.scope, each.name, f"{each.paused_at:%Y-%m-%d %H:%M:%S} UTC") for each in found]
    output.show([output.Table(columns=("paused", "name", "since"), rows=cells)])


def _require_personas(names: Sequence[str]) -> None:
    """End the command if there is no persona of a name; what is broken may be paused too."""
    with extra("worker"):
        from imagegen.errors import ImagegenError
        from imagegen.settings import LibrarySettings
        from imagegen.workflows.library import load_workflows

    try:
        directories = read(LibrarySettings)
        library = load_workflows(directories.workflows_dir, directories.personas_dir)
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    for name in names:
        if name.strip() and library.name_of(name) is None:
            known = ", ".join(sorted({*library.workflows, *library.faults}))
            exit_with(
                f"there is no persona {name}: PERSONAS_DIR and WORKFLOWS_DIR have {known}", code=2
            )


def _change(
    method: str, personas: Sequence[str], kinds: Sequence[str], outcomes: dict[bool, str]
) -> None:
    with extra("worker"):
        from imagegen.cli.session import run_in_session
        from imagegen.requests.pauses import PauseRefused, Pauses, PauseScope

    named: list[Any] = [(PauseScope.PERSONA, name) for name in personas]
    named += [(PauseScope.KIND, name) for name in kinds]
    if not named:
        raise click.UsageError("Give --persona, --kind or both.")

    async def work(session: "CommandSession") -> list[str]:
        change = getattr(Pauses(session.engine), method)
        try:
            return [
                f"{scope} {name}: {outcomes[await change(scope, name)]}" for scope, name in named
            ]
        except PauseRefused as error:
            exit_with(error.sentence, code=2)

    output.show(["\n".join(run_in_session(work))])
