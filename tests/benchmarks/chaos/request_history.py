"""The history of one request: everything that was recorded of it, in the order of time."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.chaos.evidence import Evidence
from tests.benchmarks.chaos.violation import Violation

_Line = tuple[float, str]
# At the end of the name of a worker whose clock was wrong.
_CLOCK_OFFSET = re.compile(r"([+-]\d+)s$")


def write(
    evidence: Evidence, violations: Iterable[Violation], record: Mapping[str, Any], logs: Path
) -> Path:
    """Write a file for each request that violates a rule; return their directory."""
    folder = logs / "stories"
    folder.mkdir(exist_ok=True)
    why: dict[str, list[str]] = {}
    for violation in violations:
        for request_id in violation.requests:
            why.setdefault(request_id, []).append(f"{violation.kind}: {violation.why}")
    entry = list(_logged(logs))
    for request_id, sentences in why.items():
        lines = sorted(
            [
                *_noted(evidence, record, request_id),
                *(line for line in entry if request_id in line[1]),
            ]
        )
        story = [*sentences, "", *(f"{_clock(when)} {what}" for when, what in lines)]
        (folder / f"{request_id}.txt").write_text("\n".join(story) + "\n")
    return folder


def _noted(evidence: Evidence, record: Mapping[str, Any], request_id: str) -> Iterator[_Line]:
    yield from _of_rows(evidence, request_id)
    yield from _of_hosts(record, request_id)
    for injected in evidence.injected:
        yield injected.began, f"     fault: {injected.what}"
        yield injected.ended, f"    healed: {injected.what}"


def _of_rows(evidence: Evidence, request_id: str) -> Iterator[_Line]:
    captions = set()
    for row in evidence.rows:
        if str(row.id) == request_id:
            captions.add(row.caption)
            yield row.created, f"row: {asdict(row)}"
    for send in evidence.sends:
        if str(send.request_id) == request_id:
            yield send.started, f"delivery: {send.attempt} {send.outcome}"
    for arrival in evidence.arrivals:
        if arrival.caption in captions:
            yield arrival.when, f"TELEGRAM: message {arrival.message_id} for {arrival.caption}"


def _of_hosts(record: Mapping[str, Any], request_id: str) -> Iterator[_Line]:
    for host in record["hosts"]:
        for drawing in host["drawings"]:
            if drawing["picture"] == request_id:
                yield drawing["began"], f"HOST: {drawing}"
        for trouble in host["troubles"]:
            yield trouble["when"], f"    {host['host']} meets {trouble['fault']}"


def _logged(logs: Path) -> Iterator[_Line]:
    for log in sorted(logs.glob("worker-*.log")):
        wrong_by = _CLOCK_OFFSET.search(log.stem)
        offset_s = int(wrong_by.group(1)) if wrong_by else 0
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                when = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
                yield when - offset_s, f"{log.stem}: {line}"


def _clock(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S.%f")[:-3]
