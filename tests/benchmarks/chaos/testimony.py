"""Testimony: asks database, sandboxes and logs for the evidence, none of it our own code's word."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from imagegen.sandbox.comfyui.ledger import Double
from tests.benchmarks.chaos.evidence import (
    Arrival,
    Complaint,
    Evidence,
    Mark,
    Row,
    Send,
    Struck,
)

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
# What a worker says when it is broken, and not what surrounds it.
_OUR_FAULTS = ("a fault of ours",)
# Only tasks: asyncpg leaves a future behind whenever its server dies, which hurts nobody.
_SIGNS = ("Traceback (most recent call last)", "Task exception was never", "never awaited")


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


def complaints_in(log: Path) -> list[Complaint]:
    """Find the faults of ours that a worker has told of."""
    lines = log.read_text(errors="replace").splitlines()
    return [complaint for line in lines if (complaint := _complaint(log.stem, line)) is not None]


def _complaint(worker: str, line: str) -> Complaint | None:
    told = _told(line)
    if told.get("event") in _OUR_FAULTS:
        what = f"{told['event']}: {told.get('error')} at {' < '.join(told.get('at', [])[-3:])}"
        return Complaint(worker=worker, what=what, request_id=told.get("request_id"))
    if any(sign in line for sign in _SIGNS):
        return Complaint(worker=worker, what=line[:500], request_id=told.get("request_id"))
    return None


def _told(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _double(told: Mapping[str, Any]) -> Double:
    pairs = {name: tuple(told[name]) for name in ("prompt_ids", "hosts")}
    return Double(**{**told, **pairs})
