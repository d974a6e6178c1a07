"""The whole way of one request: its row, its deliveries, and the host's own account of its prompt."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chatflow_hook.tables import State
from imagegen.comfy.errors import HostLost
from imagegen.monitoring.status.snapshot import what_to_do
from imagegen.pool.pool import Pool
from imagegen.requests.queries import Facts, RequestQueries, plain_value

_HOST_ANSWERS_WITHIN_S = 3.0
# Named one by one: a column that is added later may hold what somebody wrote.
_SHOWN = (
    "id",
    "kind",
    "state",
    "persona",
    "dialog_id",
    "message_count",
    "variation",
    "rating",
    "drawn_rating",
    "has_spoiler",
    "attempts",
    "crashes",
    "draw",
    "host",
    "prompt_id",
    "seed",
    "drawing_seconds",
    "is_reused",
    "width",
    "height",
    "telegram_message_id",
    "has_conversation",
    "created_at",
    "queued_at",
    "updated_at",
    "finished_at",
    "hidden_at",
    "reported_at",
    "chat_told_at",
    "error_code",
    "error_sentence",
)
_SHOWN_OF_SENDS = (
    "attempt",
    "outcome",
    "is_edit",
    "message_id",
    "started_at",
    "finished_at",
    "error_sentence",
)


async def request_view(queries: RequestQueries, pool: Pool, request_id: UUID) -> dict[str, Any]:
    """Return all of a request that holds no word of anybody, as plain objects.

    Raises:
        RequestNotFound: there is no request with this id.
        Unavailable: PostgreSQL cannot be reached.
    """
    details = await queries.details(request_id)
    row = details.request
    is_retryable = row["state"] == State.FAILED and row["has_conversation"]
    return {
        "row": _plain(row, _SHOWN),
        "what": what_to_do().get(row["error_code"] or ""),
        "is_retryable": is_retryable,
        "deliveries": [_plain(send, _SHOWN_OF_SENDS) for send in details.deliveries],
        "strays": [_plain(stray, ("host", "prompt_id", "left_at")) for stray in details.strays],
        "account": await _account(pool, row),
    }


async def _account(pool: Pool, row: Facts) -> dict[str, Any] | None:
    """Return what the host says of the request's prompt; None if there is none on a host of ours."""
    client = pool.client(row["host"] or "")
    if client is None or row["prompt_id"] is None:
        return None
    try:
        async with asyncio.timeout(_HOST_ANSWERS_WITHIN_S):
            account = await client.account(str(row["prompt_id"]))
    except (HostLost, TimeoutError):
        return {"host": client.name, "place": "no answer", "events": []}
    return {
        "host": client.name,
        "place": account.place,
        "events": [{"name": event.name, "at": plain_value(event.at)} for event in account.events],
    }


def _plain(facts: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: plain_value(facts[name]) for name in names}
