"""Grumbling: what in a worker's log is a fault of ours."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.chaos.evidence import Complaint

_OUR_FAULT = "a fault of ours"
_TRACEBACK = "Traceback (most recent call last)"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Only tasks: asyncpg leaves a future behind whenever its server dies, which hurts nobody.
_SIGNS = (_TRACEBACK, "Task exception was never", "never awaited")


def in_log(log: Path) -> list[Complaint]:
    """Find the faults that a worker has told of; its name is that of the log."""
    return list(found(log.stem, log.read_text(errors="replace").splitlines()))


def found(worker: str, lines: Iterable[str]) -> Iterator[Complaint]:
    """Find them in the lines of its log; a traceback over many lines is one."""
    block: list[str] = []
    for line in lines:
        told = _told(line)
        if told is None and (block or _TRACEBACK in line):
            block.append(line)
            continue
        yield from _in_block(worker, block)
        block = []
        if told is not None:
            yield from _in_event(worker, told, line)
    yield from _in_block(worker, block)


def _in_event(worker: str, told: dict[str, Any], line: str) -> Iterator[Complaint]:
    about = told.get("request_id") or _id_in(str(told.get("event")))
    if told.get("event") == _OUR_FAULT:
        places = " < ".join(reversed(told.get("at", [])[-3:]))
        what = f"{_OUR_FAULT}: {told.get('error')} at {places}"
        yield Complaint(worker=worker, what=what, request_id=about)
    elif any(sign in line for sign in _SIGNS):
        end = str(told.get("exception", "")).strip().rpartition("\n")[2]
        yield Complaint(worker=worker, what=f"{told.get('event')} {end}".strip(), request_id=about)


def _in_block(worker: str, block: list[str]) -> Iterator[Complaint]:
    ends = [line for line in block if line and not line.startswith((" ", "Traceback"))]
    if block:
        yield Complaint(worker=worker, what=f"traceback: {ends[-1] if ends else block[-1]}")


def _id_in(text: str) -> str | None:
    """Return the request that arq speaks of, whose jobs have its id."""
    named = _ID.search(text)
    return named and named.group()


def _told(line: str) -> dict[str, Any] | None:
    """Return what a line of the log tells, None if it is none of ours."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
