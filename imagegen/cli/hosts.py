"""`imagegen hosts`: the state of each ComfyUI host; it needs no database and no bot."""

import json
import sys

import click

from chatflow_hook.settings import BadSetting
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option
from imagegen.errors import ImagegenError


@click.command()
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@timeout_option("How long a host may take to answer.")
def hosts(*, is_json: bool, timeout_s: float) -> None:
    """Show each ComfyUI host: how it is, what it has, which personas it can draw.

    Ends with 1 if a host is down or a persona can be drawn nowhere.
    """
    with extra("worker"):
        from imagegen.cli import host_table

    try:
        inspection = host_table.inspect_hosts(timeout_s=timeout_s)
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    click.echo(
        json.dumps(host_table.as_json(inspection.rows), indent=2)
        if is_json
        else host_table.as_text(inspection)
    )
    for sentence in host_table.warnings(inspection):
        click.echo(f"imagegen: {sentence}", err=True)
    sys.exit(0 if host_table.is_well(inspection) else 1)
