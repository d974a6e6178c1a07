"""`imagegen requests`: list, show, follow, retry and cancel requests."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra

if TYPE_CHECKING:
    from imagegen.cli.session import CommandOutcome, CommandSession
    from imagegen.requests.queries import RequestList

_STATES = (
    *("queued", "drawing", "drawn", "delivering"),
    *("delivered", "failed", "refused", "expired", "cancelled"),
)
_LONGEST_SPAN = timedelta(days=36_500)
_LOOK_EVERY_S = 0.5
# What `follow` tells of, when one of them changes.
_FOLLOWED = ("state", "host", "attempts", "error_code", "error_sentence")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _parse_time(ctx: Any, param: Any, value: str | None) -> datetime | timedelta | None:
    """Parse a date, a date with time, or a time span before now such as 90m, 36h or 7d.

    A time without an offset is taken as UTC. A span counts by PostgreSQL's clock, not by this one.
    """
    if not value:
        return None
    try:
        if value[-1] in _UNITS:
            return _parse_span(value)
        time = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        why = f"{value!r} is none of 36h, 7d, 2026-11-24 and 2026-11-24T10:00."
        raise click.BadParameter(why, ctx=ctx, param=param) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_span(value: str) -> timedelta:
    span = timedelta(**{_UNITS[value[-1]]: float(value[:-1])})
    if span > _LONGEST_SPAN:
        raise OverflowError(f"{span} is before all times that PostgreSQL can count")
    return span


_SINCE = click.option(
    "--since", callback=_parse_time, metavar="WHEN", help="36h, 7d, or a date with or without time."
)


@click.group()
def requests() -> None:
    """Look at requests, follow one, try failed ones again, call open ones off."""


@requests.command("list")
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES),
    multiple=True,
    help="More than once for several.",
)
@click.option("--persona", metavar="NAME")
@click.option("--dialog", "dialog_id", type=click.IntRange(-(2**63), 2**63 - 1), metavar="ID")
@_SINCE
@click.option("--reported", "is_reported", is_flag=True, help="Pictures that somebody reported.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@output.json_option
@output.watch_option
def show_all(*, limit: int, is_json: bool, is_watched: bool, **filters: Any) -> None:
    """List requests, newest first, and count them by state."""
    with extra("worker"):
        from chatflow_hook.tables import State
        from imagegen.cli import request_tables
        from imagegen.cli.session import run_in_session
        from imagegen.requests.queries import RequestFilter

    request_filter = RequestFilter(
        states=[State(state) for state in filters.pop("states")], **filters
    )

    def read_listing() -> "RequestList":
        return run_in_session(lambda session: session.queries.listing(request_filter, limit=limit))

    if is_watched and is_json:
        output.watch_json(lambda: request_tables.listing_as_json(read_listing()))
    elif is_watched:
        output.watch(lambda: request_tables.listing_as_blocks(read_listing()))
    elif is_json:
        output.show_json(request_tables.listing_as_json(read_listing()))
    else:
        output.show(request_tables.listing_as_blocks(read_listing()))


@requests.command()
@click.argument("request_id", metavar="ID")
@output.json_option
def show(*, request_id: str, is_json: bool) -> None:
    """Show all of one request but what people wrote; the beginning of its id is enough."""
    with extra("worker"):
        from imagegen.cli import request_tables
        from imagegen.cli.session import run_in_session
        from imagegen.requests.queries import RequestNotFound

    async def work(session: "CommandSession") -> Any:
        try:
            return await session.queries.details(await session.queries.find(request_id))
        except RequestNotFound as error:
            exit_with(error.sentence, code=1)

    details = run_in_session(work)
    if is_json:
        output.show_json(request_tables.details_as_json(details))
    else:
        output.show(request_tables.details_as_blocks(details))


@requests.command()
@click.argument("request_id", metavar="ID")
@click.option("--json", "is_json", is_flag=True, help="One line of JSON for each change.")
def follow(*, request_id: str, is_json: bool) -> None:
    """Show each change of one request until it has ended; Ctrl-C ends only the command.

    Ends with 1 if there is no picture.
    """
    with extra("worker"):
        from imagegen.cli.request_tables import change_as_json, change_as_text
        from imagegen.cli.session import run_in_session
        from imagegen.requests.queries import RequestNotFound

    async def work(session: "CommandSession") -> str:
        told = None
        while True:
            try:
                found = await session.queries.details(await session.queries.find(request_id))
            except RequestNotFound as error:
                exit_with(error.sentence, code=1)
            facts = {name: found.request[name] for name in _FOLLOWED}
            if facts != told:
                told = facts
                click.echo(
                    change_as_json(found.now, facts)
                    if is_json
                    else change_as_text(found.now, facts)
                )
            if found.request["finished_at"] is not None:
                return str(facts["state"])
            await asyncio.sleep(_LOOK_EVERY_S)

    state = run_in_session(work)
    sys.exit(0 if state == "delivered" else 1)


@requests.command()
@click.argument("request_ids", metavar="[ID]…", nargs=-1)
@click.option("--all-failed", is_flag=True, help="All that failed --since, newest first.")
@_SINCE
@output.json_option
def retry(
    *,
    request_ids: Sequence[str],
    all_failed: bool,
    since: datetime | timedelta | None,
    is_json: bool,
) -> None:
    """Put failed requests back into the queue, as young as new ones and with all attempts.

    Ends with 1 if one of them was refused.
    """
    with extra("worker"):
        from imagegen.cli.session import run_in_session

    if bool(request_ids) == all_failed or all_failed != (since is not None):
        raise click.UsageError("Give ids, or --all-failed with --since.")

    async def work(session: "CommandSession") -> "list[CommandOutcome]":
        ids: Sequence[Any] = request_ids
        if since is not None:
            ids = await session.queries.failed_since(since)
        return [await session.retry(request_id) for request_id in ids]

    _print_outcomes(run_in_session(work), is_json=is_json, nothing="nothing failed since then")


@requests.command()
@click.argument("request_ids", metavar="ID…", nargs=-1, required=True)
@output.json_option
def cancel(*, request_ids: Sequence[str], is_json: bool) -> None:
    """Call open requests off; one that is being drawn is taken off its host within seconds.

    Ends with 1 if one of them has ended already.
    """
    with extra("worker"):
        from imagegen.cli.session import run_in_session

    async def work(session: "CommandSession") -> "list[CommandOutcome]":
        return [await session.cancel(request_id) for request_id in request_ids]

    _print_outcomes(run_in_session(work), is_json=is_json, nothing="nothing to do")


def _print_outcomes(outcomes: "Sequence[CommandOutcome]", *, is_json: bool, nothing: str) -> None:
    if is_json:
        output.show_json([asdict(outcome) for outcome in outcomes])
    else:
        lines = [
            f"{outcome.request}: {outcome.state}"
            if outcome.why is None
            else f"{outcome.request}: no, {outcome.why}"
            for outcome in outcomes
        ]
        if not all(outcome.is_rung for outcome in outcomes):
            lines.append("Redis is away: the worker finds them by itself when it is back")
        output.show(["\n".join(lines or [nothing])])
    sys.exit(1 if any(outcome.why is not None for outcome in outcomes) else 0)
