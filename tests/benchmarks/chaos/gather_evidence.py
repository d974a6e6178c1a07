"""Testimony: asks database, sandboxes and logs for the evidence, none of it our own code's word."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from imagegen.sandbox.comfyui.usage import DoubleDrawing
from tests.benchmarks.chaos.evidence import Arrival, Complaint, Evidence, Mark, Row, Send, Struck

_ROWS = """
    SELECT id, dialog_id, message_count, caption, state, error_code, error_sentence, attempts,
           draw, host, telegram_message_id, extract(epoch FROM created_at)::float8 AS created,
           extract(epoch FROM finished_at)::float8 AS finished
    FROM image_requests ORDER BY created_at
"""
_SENDS = """
    SELECT request_id, attempt, outcome, extract(epoch FROM started_at)::float8 AS started
    FROM deliveries ORDER BY started_at
"""
_MARKS = "SELECT id AS dialog_id, message_count, last_image_generation_at AS watermark FROM dialogs"
_OPEN = """
    SELECT count(*) FROM image_requests
    WHERE state IN ('queued', 'drawing', 'drawn', 'delivering')
"""


async def open_requests(database_url: str) -> int:
    """Return how many requests have not ended."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        return int(await connection.fetchval(_OPEN))
    finally:
        await connection.close()


async def gather(
    database_url: str,
    record: Mapping[str, Any],
    *,
    promised: Mapping[UUID, str],
    struck: Sequence[Struck],
    complaints: Sequence[Complaint],
) -> Evidence:
    """Put together what the verdict needs; `record` is the playground's."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        rows = [Row(**dict(each)) for each in await connection.fetch(_ROWS)]
        sends = [Send(**dict(each)) for each in await connection.fetch(_SENDS)]
        marks = [Mark(**dict(each)) for each in await connection.fetch(_MARKS)]
    finally:
        await connection.close()
    return Evidence(
        promised=promised,
        rows=rows,
        sends=sends,
        arrivals=[Arrival(**each) for each in record["arrivals"]],
        marks=marks,
        doubles=[_double(each) for each in record["doubles"]],
        excused=frozenset(),
        struck=struck,
        complaints=complaints,
    )


def _double(told: Mapping[str, Any]) -> DoubleDrawing:
    pairs = {name: tuple(told[name]) for name in ("prompt_ids", "hosts")}
    return DoubleDrawing(**{**told, **pairs})
