"""`imagegen covers`: draw covers ahead, the pictures with which dialogs begin."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.requests.covers import Cover

_MAX_COUNT = 32


@click.command()
@click.option(
    "--persona",
    "names",
    metavar="NAME|all",
    multiple=True,
    default=("all",),
    help="More than once for several.",
)
@click.option(
    "--count",
    type=click.IntRange(1, _MAX_COUNT),
    default=4,
    show_default=True,
    help="Of each persona.",
)
@click.option("--again", is_flag=True, help="Erase those that are there, and draw all anew.")
@timeout_option("How long to wait for the worker.", default_s=600.0)
def covers(*, names: Sequence[str], count: int, again: bool, timeout_s: float) -> None:
    """Draw covers of personas ahead; a running worker does it.

    Those that are there already are kept. Ends with 1 if one could not be drawn.
    """
    with extra("worker"):
        from imagegen.cli.session import run_in_session

    personas = _personas(names)
    missing_count = run_in_session(
        lambda session: _order_and_wait(session, personas, count, again=again, timeout_s=timeout_s)
    )
    sys.exit(1 if missing_count else 0)


def _personas(names: Sequence[str]) -> list[str]:
    from chatflow_hook.settings import BadSetting, read
    from imagegen.bootstrap import workflow_library
    from imagegen.errors import ImagegenError
    from imagegen.settings import LibrarySettings

    try:
        library = workflow_library(read(LibrarySettings))
        if "all" in names:
            return sorted(library.workflows)
        for name in names:
            library.find(name)
        # An alias is kept: the hook looks for the covers of the name that the bot gives it.
        return list(dict.fromkeys(name.strip().casefold() for name in names))
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)


async def _order_and_wait(
    session: "CommandSession",
    personas: Sequence[str],
    count: int,
    *,
    again: bool,
    timeout_s: float,
) -> int:
    """Order the covers, print each one that ends, and return how many are missing at the end."""
    from imagegen.requests.covers import Covers

    cover_requests = Covers(session.engine)
    if again:
        click.echo(f"erased: {await cover_requests.erase(personas)}")
    ordered = await cover_requests.order(personas, count)
    if not ordered:
        click.echo("all covers are there")
        return 0

    for cover in ordered:
        await session.queue_client.enqueue(cover.request_id, within_s=1.0)

    drawn_count = ended_count = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for cover in cover_requests.drawn(ordered):
                ended_count += 1
                drawn_count += cover.why is None
                click.echo(
                    f"{ended_count}/{len(ordered)} {_line(cover)}", err=cover.why is not None
                )
    except TimeoutError:
        left_count = len(ordered) - ended_count
        click.echo(f"imagegen: {left_count} are not drawn yet: does a worker run?", err=True)
    return len(ordered) - drawn_count


def _line(cover: "Cover") -> str:
    outcome = cover.state.value if cover.why is None else f"{cover.state.value}: {cover.why}"
    return f"{cover.persona} {cover.number + 1} {outcome}"
