"""Reads the evidence from database, sandbox and logs; nothing is asked of our own code."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from imagegen.sandbox.comfyui.usage import DoubleDrawing
from tests.benchmarks.chaos.evidence import (
    ChaosArrival,
    DialogRow,
    Evidence,
    InjectedFault,
    Row,
    Send,
    WorkerFault,
)

_ROWS = """
    SELECT id, dialog_id, message_count, caption, state, error_code, error_sentence, attempts,
           draw, host, telegram_message_id, extract(epoch FROM created_at)::float8 AS created,
           extract(epoch FROM finished_at)::float8 AS finished
    FROM image_requests ORDER BY created_at
"""
_SENDS = """
    SELECT request_id, attempt, outcome, extract(epoch FROM started_at)::float8 AS started,
        extract(epoch FROM finished_at)::float8 AS finished
    FROM deliveries ORDER BY started_at
"""
_DIALOGS = (
    "SELECT id AS dialog_id, message_count, last_image_generation_at AS watermark FROM dialogs"
)
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
    committed: Mapping[UUID, str],
    injected: Sequence[InjectedFault],
    worker_faults: Sequence[WorkerFault],
    last_requests: Mapping[int, UUID | None],
) -> Evidence:
    """Collect what the verdict needs; `record` is the answer of the sandbox's control server."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        rows = [Row(**dict(each)) for each in await connection.fetch(_ROWS)]
        sends = [Send(**dict(each)) for each in await connection.fetch(_SENDS)]
        dialogs = [DialogRow(**dict(each)) for each in await connection.fetch(_DIALOGS)]
    finally:
        await connection.close()
    return Evidence(
        committed=committed,
        rows=rows,
        sends=sends,
        arrivals=[ChaosArrival(**each) for each in record["arrivals"]],
        dialogs=dialogs,
        doubles=[_double(each) for each in record["doubles"]],
        injected=injected,
        worker_faults=worker_faults,
        last_requests=last_requests,
    )


def _double(entry: Mapping[str, Any]) -> DoubleDrawing:
    pairs = {name: tuple(entry[name]) for name in ("prompt_ids", "hosts")}
    return DoubleDrawing(**{**entry, **pairs})
