"""`imagegen warm`: hosts load the models of personas before these are first needed."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from chatflow_hook.settings import BadSetting, read
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.cli.host_warming import WarmOutcome


@click.command()
@click.option(
    "--persona",
    "names",
    metavar="NAME",
    multiple=True,
    help="More than once for several; all if left out.",
)
@click.option(
    "--host",
    "hosts",
    metavar="ADDRESS",
    multiple=True,
    help="More than once for several; all that the workers use if left out.",
)
@timeout_option("How long it may take in all.", default_s=600.0)
@output.json_option
def warm(*, names: Sequence[str], hosts: Sequence[str], timeout_s: float, is_json: bool) -> None:
    """Let hosts load the models of personas, so that the first picture need not wait for that.

    Each host draws a tiny picture for each persona that it can draw, which nobody gets. Ends with 1
    if a host fails, or none can draw one of the personas.
    """
    with extra("worker"):
        from imagegen import logs
        from imagegen.bootstrap import workflow_library
        from imagegen.cli import host_warming

    logs.only_warnings()

    def show_progress(outcome: "WarmOutcome") -> None:
        click.echo(f"{outcome.host} {', '.join(outcome.personas)}: {outcome.state}", err=True)

    try:
        settings = read(host_warming.WarmSettings)
        workflows = host_warming.workflows_by_models(workflow_library(settings), names)
        outcomes = asyncio.run(
            host_warming.warm_hosts(
                settings, workflows, hosts, timeout_s=timeout_s, on_end=show_progress
            )
        )
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    if is_json:
        output.show_json([asdict(outcome) for outcome in outcomes])
    else:
        output.show([_table(outcomes)])
    sys.exit(0 if host_warming.is_well(outcomes) else 1)


def _table(outcomes: "Sequence[WarmOutcome]") -> output.Table:
    return output.Table(
        columns=("host", "personas", "models", "seconds", "why"),
        rows=[
            (
                each.host,
                ", ".join(each.personas),
                each.state.value,
                "-" if each.seconds is None else f"{each.seconds:.1f}",
                each.why or "-",
            )
            for each in sorted(outcomes, key=lambda each: each.host)
        ],
    )
