"""The pages of `imagegen requests`: listings and sheets → text or JSON; pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from chatflow_hook.tables import State
from imagegen.requests.queries import Facts, RequestDetails, RequestList

_COLUMNS = ("id", "state", "persona", "dialog", "age", "ended", "tries", "host", "error")
_SHORT = 8


def listing_as_text(listing: RequestList) -> str:
    """Write a table, newest first, and below it how many there are of each state."""
    if not listing.counts:
        return "no such request"
    rows = [_cells(request, listing.now) for request in listing.requests]
    return "\n".join([*_table([_COLUMNS, *rows]), "", _counts(listing)])


def listing_as_json(listing: RequestList) -> dict[str, Any]:
    """Give the same as plain objects."""
    return {
        "counts": {state.value: listing.counts.get(state, 0) for state in State},
        "requests": [_plain(request) for request in listing.requests],
    }


def details_as_text(sheet: RequestDetails) -> str:
    """Write a line for each thing that is known of a request, its sends and its strays."""
    lines = [
        (name, _shown(value, sheet.now))
        for name, value in sheet.request.items()
        if value is not None
    ]
    return "\n".join(
        [
            *_table(lines),
            *_part("deliveries", sheet.deliveries, sheet.now, without={"id", "request_id"}),
            *_part("stray prompts", sheet.strays, sheet.now, without=set()),
        ]
    )


def details_as_json(sheet: RequestDetails) -> dict[str, Any]:
    """Give the same as plain objects."""
    return {
        **_plain(sheet.request),
        "deliveries": [_plain(send) for send in sheet.deliveries],
        "stray_prompts": [_plain(stray) for stray in sheet.strays],
    }


def age(span: timedelta) -> str:
    """Say how long something took or is ago, in one unit."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _cells(request: Facts, now: datetime) -> tuple[str, ...]:
    ended = request["finished_at"]
    return (
        str(request["id"])[:_SHORT],
        request["state"],
        request["persona"],
        str(request["dialog_id"]),
        age(now - request["created_at"]),
        "-" if ended is None else age(now - ended),
        str(request["attempts"]),
        request["host"] or "-",
        request["error_code"] or "-",
    )


def _counts(listing: RequestList) -> str:
    total = sum(listing.counts.values())
    states = ", ".join(
        f"{listing.counts[state]} {state}" for state in State if state in listing.counts
    )
    shown = len(listing.requests)
    return states if shown == total else f"{states}; the newest {shown} are shown"


def _part(title: str, things: Sequence[Facts], now: datetime, *, without: set[str]) -> list[str]:
    if not things:
        return ["", f"no {title}"]
    names = [name for name in things[0] if name not in without]
    rows = [[_shown(thing[name], now) for name in names] for thing in things]
    return ["", f"{title}:", *_table([names, *rows])]


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _shown(value: Any, now: datetime) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC ({age(now - value)} ago)"
        case _:
            return str(value)


def _plain(facts: Facts) -> dict[str, Any]:
    return {name: _plainly(value) for name, value in facts.items()}


def _plainly(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case _:
            return str(value)
