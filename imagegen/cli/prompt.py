"""`imagegen prompt`: show what would be drawn for a dialog, without a database or a host."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Rating
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra

if TYPE_CHECKING:
    from imagegen.pipeline.dry_run import DialogFile, DryRunResult
    from imagegen.prompts.llm import LanguageModel
    from imagegen.settings import PictureSettings
    from imagegen.workflows.library import Workflow

_RATINGS = [*map(str, Rating)]


@click.command()
@click.option(
    "--persona",
    "names",
    metavar="NAME|all",
    multiple=True,
    help="More than once for several; left out, the one that the file names.",
)
@click.option(
    "--dialog",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A JSON object with the fields of a Turn, all of which may be left out; without a file, an"
    " evening in a café.",
)
@click.option(
    "--kind", type=click.Choice([*map(str, Kind)]), default=str(Kind.AUTOMATIC), show_default=True
)
@click.option("--variation", type=click.IntRange(0, 1_000), default=0, show_default=True)
@click.option("--rating", type=click.Choice(_RATINGS), help="Asked for, in the file's place.")
@click.option(
    "--max-rating", type=click.Choice(_RATINGS), help="Allowed, in the place of MAX_RATING."
)
@click.option(
    "--llm/--no-llm",
    "uses_llm",
    default=None,
    help="Whether the model at PROMPT_LLM_URL is asked; if there is one, left out.",
)
@output.json_option
def prompt(  # noqa: PLR0913 - click gives each option by name
    *,
    names: Sequence[str],
    file: Path | None,
    kind: str,
    variation: int,
    rating: str | None,
    max_rating: str | None,
    uses_llm: bool | None,
    is_json: bool,
) -> None:
    """Show what would be drawn for a dialog: prompt, rating, seed, cache key, the screen's word.

    It answers as for a user who has confirmed their age. Ends with 1 if nothing may be drawn.
    """
    with extra("worker"):
        from imagegen import logs
        from imagegen.pipeline.dry_run import EXAMPLE_DIALOG, DialogUnreadable, read_dialog

    logs.configure("console")
    try:
        dialog = EXAMPLE_DIALOG if file is None else read_dialog(file)
    except DialogUnreadable as error:
        exit_with(error.sentence, code=2)
    if rating is not None:
        dialog = dialog.model_copy(update={"rating": Rating(rating)})
    workflows = _workflows(names or [dialog.persona])
    settings = _settings({} if max_rating is None else {"max_rating": max_rating})
    if uses_llm and settings.prompt_llm_url is None:
        exit_with("PROMPT_LLM_URL is not set: there is no model to ask", code=2)
    if uses_llm is False:
        settings = settings.model_copy(update={"prompt_llm_url": None})
    results = asyncio.run(_dry_runs(dialog, workflows, settings, Kind(kind), variation))
    if is_json:
        output.show_json([result.as_json() for result in results])
    else:
        output.show([result.as_text() for result in results])
    sys.exit(0 if all(result.is_drawn for result in results) else 1)


def _workflows(names: Sequence[str]) -> "list[Workflow]":
    from chatflow_hook.settings import BadSetting, read
    from imagegen.bootstrap import workflow_library
    from imagegen.errors import ImagegenError
    from imagegen.settings import LibrarySettings

    try:
        library = workflow_library(read(LibrarySettings))
        if "all" in names:
            return [library.workflows[name] for name in sorted(library.workflows)]
        if not all(names):
            exit_with("no persona is named: give one with --persona, or all", code=2)
        return [library.find(name) for name in dict.fromkeys(names)]
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)


def _settings(overrides: dict[str, str]) -> "PictureSettings":
    from chatflow_hook.settings import BadSetting, read
    from imagegen.settings import PictureSettings

    try:
        return read(PictureSettings, **overrides)
    except BadSetting as error:
        exit_with(str(error), code=2)


async def _dry_runs(
    dialog: "DialogFile",
    workflows: "Sequence[Workflow]",
    settings: "PictureSettings",
    kind: Kind,
    variation: int,
) -> "list[DryRunResult]":
    from imagegen.bootstrap import prompt_builder
    from imagegen.pipeline.content_policy import PolicySettings
    from imagegen.pipeline.dry_run import DryRun
    from imagegen.safety.screen import shared_screen

    screen = shared_screen()
    async with AsyncExitStack() as stack:
        model = _model(settings)
        if model is not None:
            await stack.enter_async_context(model)
        prompts = prompt_builder(model, screen)
        dry_run = DryRun(
            dialog=dialog,
            prompts=prompts,
            screen=screen,
            rules=PolicySettings(max_rating=settings.max_rating, seed_mode=settings.seed_mode),
            kind=kind,
            variation=variation,
        )
        return [await dry_run.run(workflow) for workflow in workflows]


def _model(settings: "PictureSettings") -> "LanguageModel | None":
    from imagegen.bootstrap import language_model

    try:
        return language_model(settings)
    except ValueError as error:
        exit_with(f"PROMPT_LLM_API_KEY: {error}", code=2)
