"""The output of `imagegen requests`, as tables and as JSON; pure."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from chatflow_hook.tables import State
from imagegen.cli.output import Table
from imagegen.requests.queries import Facts, RequestDetails, RequestList, plain_value

_COLUMNS = ("id", "state", "persona", "dialog", "age", "ended", "tries", "host", "error")
_SHORT_ID = 8


def listing_as_blocks(listing: RequestList) -> "list[Table | str]":
    """Return a table, newest first, and below it how many requests there are of each state."""
    if not listing.counts:
        return ["no such request"]
    rows = [_cells(request, listing.now) for request in listing.requests]
    return [Table(columns=_COLUMNS, rows=rows), _counts(listing)]


def listing_as_json(listing: RequestList) -> dict[str, Any]:
    """Return the same as plain objects; `counts` has every state, and those of newer versions."""
    return {
        "counts": {**{state.value: 0 for state in State}, **listing.counts},
        "requests": [_as_plain_object(request) for request in listing.requests],
    }


def details_as_blocks(details: RequestDetails) -> "list[Table | str]":
    """Return a line for each column of a request that is set, its deliveries, stray prompts, and what was learnt."""
    lines = [
        (name, _as_text(value, details.now))
        for name, value in details.request.items()
        if value is not None
    ]
    return [
        Table(rows=lines),
        _section("deliveries", details.deliveries, details.now, without={"id", "request_id"}),
        _section("stray prompts", details.strays, details.now, without=set()),
        _section("age below 18 learnt", details.learnt, details.now, without=set()),
    ]


def details_as_json(details: RequestDetails) -> dict[str, Any]:
    """Return the same as plain objects."""
    return {
        **_as_plain_object(details.request),
        "deliveries": [_as_plain_object(send) for send in details.deliveries],
        "stray_prompts": [_as_plain_object(stray) for stray in details.strays],
        "learnt": [_as_plain_object(learnt) for learnt in details.learnt],
    }


def change_as_text(now: datetime, facts: Facts) -> str:
    """Return one line for a request that has changed: when, and what there is to say of it."""
    words = [
        f"{value} failed" if name == "attempts" else str(value)
        for name, value in facts.items()
        if value
    ]
    return f"{now:%H:%M:%S} UTC  {'  '.join(words)}"


def change_as_json(now: datetime, facts: Facts) -> str:
    """Return the same as one line of JSON."""
    return json.dumps(_as_plain_object({"at": now, **facts}), ensure_ascii=False)


def age(span: timedelta) -> str:
    """Return a time span in one unit, rounded down: `119 s`, `2 min`, `47 h`, `2 d`.

    A negative span is `0 s`.
    """
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _cells(request: Facts, now: datetime) -> tuple[str, ...]:
    ended_at = request["finished_at"]
    return (
        str(request["id"])[:_SHORT_ID],
        request["state"],
        request["persona"],
        str(request["dialog_id"]),
        age(now - request["created_at"]),
        "-" if ended_at is None else age(now - ended_at),
        str(request["attempts"]),
        request["host"] or "-",
        request["error_code"] or "-",
    )


def _counts(listing: RequestList) -> str:
    total = sum(listing.counts.values())
    # Those that only a newer version knows come last.
    order = [*State, *sorted(listing.counts.keys() - set(State))]
    states = ", ".join(
        f"{listing.counts[state]} {state}" for state in order if state in listing.counts
    )
    shown_count = len(listing.requests)
    return states if shown_count == total else f"{states}; the newest {shown_count} are shown"


def _section(
    title: str, entries: Sequence[Facts], now: datetime, *, without: set[str]
) -> "Table | str":
    if not entries:
        return f"no {title}"
    names = [name for name in entries[0] if name not in without]
    rows = [[_as_text(entry[name], now) for name in names] for entry in entries]
    return Table(title=title, columns=names, rows=rows)


def _as_text(value: Any, now: datetime) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC ({age(now - value)} ago)"
        case _:
            return str(value)


def _as_plain_object(facts: Facts) -> dict[str, Any]:
    return {name: plain_value(value) for name, value in facts.items()}
