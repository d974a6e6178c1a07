"""`imagegen costs`: what the drawn pictures cost, by persona, user or host."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandSession
    from imagegen.requests.costs import Cost, Grouping


@click.command()
@click.option(
    "--by",
    "grouping",
    type=click.Choice(["persona", "user", "host"]),
    default="persona",
    show_default=True,
)
@click.option(
    "--days",
    type=click.FloatRange(min=0, max=36_500, min_open=True),
    default=30.0,
    show_default=True,
    help="How far back.",
)
@output.json_option
def costs(*, grouping: "Grouping", days: float, is_json: bool) -> None:
    """Show what the drawn pictures cost, by HOST_PRICE_PER_HOUR; the dearest first."""
    with extra("worker"):
        from imagegen.cli.session import run_in_session
        from imagegen.requests.costs import Costs

    async def work(session: "CommandSession") -> "Sequence[Cost]":
        return await Costs(session.engine, session.prices).by(grouping, timedelta(days=days))

    found = run_in_session(work)
    if is_json:
        output.show_json([asdict(each) for each in found])
    else:
        output.show([_as_table(found, grouping)])


def _as_table(costs: "Sequence[Cost]", grouping: str) -> output.Table:
    pictures, cost = sum(each.pictures for each in costs), sum(each.cost for each in costs)
    seconds = sum(each.seconds for each in costs)
    return output.Table(
        columns=(grouping, "pictures", "hours", "cost", "each"),
        rows=[
            *(_cells(each.name or "-", each.pictures, each.seconds, each.cost) for each in costs),
            _cells("all", pictures, seconds, cost),
        ],
    )


def _cells(name: str, pictures: int, seconds: float, cost: float) -> tuple[str, ...]:
    each = cost / pictures if pictures else 0.0
    return (name, str(pictures), f"{seconds / 3600:.2f}", f"{cost:.2f}", f"{each:.4f}")
