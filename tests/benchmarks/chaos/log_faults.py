"""Finds faults of our own code in a worker's log."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.chaos.evidence import WorkerFault

_OUR_FAULT = "a fault of ours"
_TRACEBACK = "Traceback (most recent call last)"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Only tasks: asyncpg leaves a future behind whenever its server dies, which is harmless.
_FAULT_TEXTS = (_TRACEBACK, "Task exception was never", "never awaited")


def in_logs(directory: Path) -> list[WorkerFault]:
    """Return the faults in the logs of all workers; a worker's name is its file's."""
    return [
        fault
        for log in sorted(directory.glob("worker-*.log"))
        for fault in found(log.stem, log.read_text(errors="replace").splitlines())
    ]


def found(worker: str, lines: Iterable[str]) -> Iterator[WorkerFault]:
    """Find faults in the lines of a log; a traceback over many lines is one fault."""
    block: list[str] = []
    for line in lines:
        entry = _parse_entry(line)
        if entry is None and (block or _TRACEBACK in line):
            block.append(line)
            continue
        yield from _traceback_fault(worker, block)
        block = []
        if entry is not None:
            yield from _event_fault(worker, entry, line)
    yield from _traceback_fault(worker, block)


def _event_fault(worker: str, entry: dict[str, Any], line: str) -> Iterator[WorkerFault]:
    about = entry.get("request_id") or _id_in(str(entry.get("event")))
    if entry.get("event") == _OUR_FAULT:
        places = " < ".join(reversed(entry.get("at", [])[-3:]))
        what = f"{_OUR_FAULT}: {entry.get('error')} at {places}"
        yield WorkerFault(worker=worker, what=what, request_id=about)
    elif any(text in line for text in _FAULT_TEXTS):
        end = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        yield WorkerFault(
            worker=worker, what=f"{entry.get('event')} {end}".strip(), request_id=about
        )


def _traceback_fault(worker: str, block: list[str]) -> Iterator[WorkerFault]:
    ends = [line for line in block if line and not line.startswith((" ", "Traceback"))]
    if block:
        yield WorkerFault(worker=worker, what=f"traceback: {ends[-1] if ends else block[-1]}")


def _id_in(text: str) -> str | None:
    """Return the request id in a log line of arq, whose jobs have that id."""
    named = _ID.search(text)
    return named and named.group()


def _parse_entry(line: str) -> dict[str, Any] | None:
    """Return a log line as JSON object, None if it is not one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
