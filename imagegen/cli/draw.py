"""`imagegen draw`: one picture through a ComfyUI host, without a database, a bot or Telegram."""

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from chatflow_hook.settings import BadSetting, read
from chatflow_hook.turn import Rating
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.cli.single_drawing import Drawing
    from imagegen.pipeline.dry_run import DryRunResult
    from imagegen.workflows.binding import BoundGraph

_MAX_SEED = 2**53 - 1


def _check_out(_: click.Context, __: click.Parameter, out: Path) -> Path:
    if out.suffix.lower() != ".png":
        raise click.BadParameter("hosts give PNG files: the name has to end with .png")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise click.BadParameter(f"{out} cannot be written: its directory is missing or not yours")
    return out


@click.command()
@click.argument("text")
@click.option("--persona", metavar="NAME", required=True)
@click.option(
    "--out",
    metavar="FILE.png",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    callback=_check_out,
    help="Where the picture is written.",
)
@click.option("--seed", type=click.IntRange(0, _MAX_SEED), help="At random if left out.")
@click.option(
    "--rating",
    type=click.Choice([*map(str, Rating)]),
    default=str(Rating.SAFE),
    show_default=True,
    help="How explicit it may be, within MAX_RATING and what the persona and the screen allow.",
)
@click.option("--host", "host", metavar="ADDRESS", help="Only this host; the best one if left out.")
@timeout_option("How long it may take in all.", default_s=300.0)
@output.json_option
def draw(  # noqa: PLR0913 (the options)
    *,
    text: str,
    persona: str,
    out: Path,
    seed: int | None,
    rating: str,
    host: str | None,
    timeout_s: float,
    is_json: bool,
) -> None:
    """Draw TEXT, a description of the picture, with a persona on a ComfyUI host.

    The screen reads it as a worker would. Ends with 1 if it may not be drawn or cannot.
    """
    with extra("worker"):
        from imagegen import logs
        from imagegen.bootstrap import workflow_library
        from imagegen.cli import single_drawing
        from imagegen.workflows.binding import bind

    logs.only_warnings()
    try:
        settings = read(single_drawing.DrawSettings)
        workflow = workflow_library(settings).find(persona)
        result = asyncio.run(
            single_drawing.screened_prompt(settings, workflow, text, Rating(rating))
        )
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    if result.prompt is None:
        exit_with(f"it may not be drawn: {_refusal(result)}", code=1)
    graph = bind(
        workflow,
        prompt=result.prompt,
        seed=secrets.randbelow(_MAX_SEED + 1) if seed is None else seed,
        prefix=f"chatflow/{uuid4()}",
    )
    if sys.stderr.isatty():
        click.echo(f"waits for a host and draws, within {timeout_s:g} s", err=True)
    try:
        drawing = asyncio.run(
            single_drawing.draw_picture(settings, graph, host, result.rating, timeout_s=timeout_s)
        )
        out.write_bytes(drawing.image.data)
    except BadSetting as error:
        exit_with(str(error), code=2)
    except ImagegenError as error:
        exit_with(str(error), code=1)
    except TimeoutError:
        exit_with(
            f"not drawn within {timeout_s:g} s: `imagegen hosts` says how the hosts are", code=1
        )
    except OSError as error:
        exit_with(f"{out} cannot be written: {error.strerror}", code=1)
    _show(out, drawing, graph, result, is_json=is_json)


def _refusal(result: "DryRunResult") -> str:
    refused = [each for each in (result.talk, result.screen) if each and "refused" in each]
    return refused[-1] if refused else "the screen refuses it"


def _show(
    out: Path, drawing: "Drawing", graph: "BoundGraph", result: "DryRunResult", *, is_json: bool
) -> None:
    facts = {
        "file": str(out),
        "persona": result.persona,
        "rating": result.rating.value,
        "seed": graph.seed,
        "width": drawing.image.width,
        "height": drawing.image.height,
        "host": drawing.host,
        "seconds": drawing.seconds,
        # Why the words of the prompt are not those that were given, if they are not.
        "fallback": result.fallback,
    }
    if is_json:
        output.show_json(facts)
    else:
        output.show(
            [output.Table(rows=[(name, str(value)) for name, value in facts.items() if value])]
        )
