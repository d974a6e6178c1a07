"""`imagegen personas check`: what would be set in a graph, and which host could draw it."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option

if TYPE_CHECKING:
    from imagegen.cli.workflow_tables import HostAnswer
    from imagegen.workflows.workflow_report import WorkflowReport


@click.command()
@click.argument("path", metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture of the graph with the chosen nodes marked.",
)
@timeout_option("How long the hosts may take.")
@output.json_option
def check(*, path: Path, svg: Path | None, timeout_s: float, is_json: bool) -> None:
    """Show what would be set where in a persona's graph, what it needs, and what each host lacks.

    DIR is the folder of a persona, or a directory of such folders. FILE is a graph, exported in API
    format or in a PNG of ComfyUI; it is checked as that of a new persona. The hosts of
    COMFYUI_HOSTS are asked if there are any. Ends with 1 if something cannot be drawn: by a worker,
    or by any of the hosts.
    """
    with extra("worker"):
        from imagegen.workflows.workflow_report import report_on_graph, report_on_persona

    if path.name == "persona.toml":
        path = path.parent
    if path.is_dir():
        reports = [report_on_persona(folder, _shipped(folder)) for folder in _folders(path)]
    else:
        reports = [report_on_graph(path)]
    if svg is not None:
        _write_svg(svg, reports)
    is_drawable = show(reports, timeout_s=timeout_s, is_json=is_json)
    sys.exit(0 if is_drawable else 1)


def show(reports: "Sequence[WorkflowReport]", *, timeout_s: float, is_json: bool = False) -> bool:
    """Print reports with what each host lacks; return whether a worker and a host can draw all."""
    from imagegen.cli import workflow_tables

    hosts, why = _host_lacks(reports, timeout_s)
    if is_json:
        shown = [workflow_tables.as_json(report, hosts) for report in reports]
        output.show_json(shown)
    else:
        output.show([workflow_tables.as_text(report, hosts) for report in reports])
    if why is not None:
        click.echo(f"imagegen: no host was asked: {why}", err=True)
    return all(workflow_tables.is_drawable(report, hosts) for report in reports)


def _folders(directory: Path) -> list[Path]:
    """Return the persona folders of a directory, or the directory itself if it is one."""
    if any((directory / file).exists() for file in ("persona.toml", "workflow.json")):
        return [directory]
    folders = [each.parent for each in sorted(directory.glob("[!._]*/persona.toml"))]
    if not folders:
        exit_with(f"{directory}: there is no persona.toml, and no folder with one", code=2)
    return folders


def _shipped(folder: Path) -> Path | None:
    """Return the shipped folder of the same name, whose graph an operator's own folder may use."""
    from chatflow_hook.settings import BadSetting, read
    from imagegen.settings import LibrarySettings

    try:
        shipped = read(LibrarySettings).workflows_dir / folder.resolve().name
    except BadSetting as error:
        exit_with(str(error), code=2)
    return shipped if shipped.is_dir() else None


def _write_svg(file: Path, reports: "Sequence[WorkflowReport]") -> None:
    from imagegen.workflows.graph_svg import graph_svg

    if len(reports) > 1:
        exit_with("--svg draws one graph: give the folder of one persona", code=2)
    (report,) = reports
    if report.graph is None:
        return
    try:
        file.write_text(graph_svg(report.graph, report.uses), encoding="utf-8")
    except OSError as error:
        exit_with(f"{file} cannot be written: {error.strerror}", code=2)


def _host_lacks(
    reports: "Sequence[WorkflowReport]", timeout_s: float
) -> "tuple[Sequence[HostAnswer], str | None]":
    """Ask the hosts what they have; the second value says why none was asked."""
    from chatflow_hook.settings import BadSetting, read
    from imagegen.cli.workflow_tables import HostAnswer
    from imagegen.comfy.host_report import HostReport, ask_hosts
    from imagegen.monitoring.known_hosts import read_known_hosts
    from imagegen.settings import HostSettings

    try:
        settings = read(HostSettings)
    except BadSetting as error:
        return (), str(error)

    async def ask() -> Sequence[HostReport]:
        # Those of COMFYUI_HOSTS, of its DNS names too: no database and no Redis is needed.
        known = await read_known_hosts(settings, redis=None, database_url=None, timeout_s=timeout_s)
        addresses = list(known.addresses.values())
        return await ask_hosts(addresses, headers=settings.host_headers, timeout_s=timeout_s)

    return [HostAnswer.of(answer, reports) for answer in asyncio.run(ask())], None
