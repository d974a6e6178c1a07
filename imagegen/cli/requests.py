"""`imagegen requests`: look at requests, try failed ones again, call open ones off."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from imagegen.cli.extras import extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandOutcome, CommandSession

_AS_JSON = click.option("--json", "is_json", is_flag=True, help="For programs.")
_STATES = (
    *("queued", "drawing", "drawn", "delivering"),
    *("delivered", "failed", "refused", "expired", "cancelled"),
)


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _moment(ctx: Any, param: Any, value: str | None) -> datetime | None:
    """Read a date, a date with time, or how long ago, such as 90m, 36h or 7d."""
    if not value:
        return None
    try:
        if value[-1] in _UNITS:
            return datetime.now(UTC) - timedelta(**{_UNITS[value[-1]]: float(value[:-1])})
        moment = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        why = f"{value!r} is none of 36h, 7d, 2026-11-24 and 2026-11-24T10:00."
        raise click.BadParameter(why, ctx=ctx, param=param) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_SINCE = click.option(
    "--since", callback=_moment, metavar="WHEN", help="36h, 7d, or a date with or without time."
)


@click.group()
def requests() -> None:
    """Look at requests, try failed ones again, call open ones off."""


@requests.command("list")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Or several.")
@click.option("--persona", metavar="NAME")
@click.option("--dialog", "dialog_id", type=click.IntRange(-(2**63), 2**63 - 1), metavar="ID")
@_SINCE
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@_AS_JSON
def show_all(*, limit: int, is_json: bool, **wanted: Any) -> None:
    """List requests, newest first, and count them by state."""
    with extra("worker"):
        from chatflow_hook.tables import State
        from imagegen.cli import request_tables
        from imagegen.cli.session import run_in_session
        from imagegen.requests.queries import RequestFilter

    which = RequestFilter(states=[State(state) for state in wanted.pop("states")], **wanted)
    listing = run_in_session(lambda given: given.register.listing(which, limit=limit))
    click.echo(
        _json(request_tables.listing_as_json(listing))
        if is_json
        else request_tables.listing_as_text(listing)
    )


@requests.command()
@click.argument("request_id", metavar="ID")
@_AS_JSON
def show(*, request_id: str, is_json: bool) -> None:
    """Show all of one request but what people wrote; the beginning of its id is enough."""
    with extra("worker"):
        from imagegen.cli import request_tables
        from imagegen.cli.session import exit_with, run_in_session
        from imagegen.requests.queries import RequestNotFound

    async def work(given: "CommandSession") -> Any:
        try:
            return await given.register.details(await given.register.find(request_id))
        except RequestNotFound as error:
            exit_with(error.sentence, code=1)

    sheet = run_in_session(work)
    click.echo(
        _json(request_tables.details_as_json(sheet))
        if is_json
        else request_tables.details_as_text(sheet)
    )


@requests.command()
@click.argument("request_ids", metavar="[ID]…", nargs=-1)
@click.option("--all-failed", is_flag=True, help="All that failed --since, newest first.")
@_SINCE
@_AS_JSON
def retry(
    *, request_ids: Sequence[str], all_failed: bool, since: datetime | None, is_json: bool
) -> None:
    """Put failed requests back into the queue, as young as new ones and with all attempts.

    Ends with 1 if one of them was refused.
    """
    with extra("worker"):
        from imagegen.cli.session import run_in_session

    if bool(request_ids) == all_failed or all_failed != (since is not None):
        raise click.UsageError("Give ids, or --all-failed with --since.")

    async def work(given: "CommandSession") -> "list[CommandOutcome]":
        wanted: Sequence[Any] = request_ids
        if since is not None:
            wanted = await given.register.failed_since(since)
        return [await given.retry(one) for one in wanted]

    _tell(run_in_session(work), is_json=is_json, nothing="nothing failed since then")


@requests.command()
@click.argument("request_ids", metavar="ID…", nargs=-1, required=True)
@_AS_JSON
def cancel(*, request_ids: Sequence[str], is_json: bool) -> None:
    """Call open requests off; one that is being drawn is taken off its host within seconds.

    Ends with 1 if one of them has ended already.
    """
    with extra("worker"):
        from imagegen.cli.session import run_in_session

    async def work(given: "CommandSession") -> "list[CommandOutcome]":
        return [await given.cancel(one) for one in request_ids]

    _tell(run_in_session(work), is_json=is_json, nothing="nothing to do")


def _tell(outcomes: "Sequence[CommandOutcome]", *, is_json: bool, nothing: str) -> None:
    if is_json:
        click.echo(_json([asdict(outcome) for outcome in outcomes]))
    else:
        lines = [
            f"{one.request}: {one.state}" if one.why is None else f"{one.request}: no, {one.why}"
            for one in outcomes
        ]
        if not all(one.is_rung for one in outcomes):
            lines.append("Redis is away: the worker finds them by itself when it is back")
        click.echo("\n".join(lines or [nothing]))
    sys.exit(1 if any(one.why is not None for one in outcomes) else 0)


def _json(told: Any) -> str:
    return json.dumps(told, indent=2, ensure_ascii=False)
