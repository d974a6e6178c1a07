"""What hosts and workers say of themselves, one row a host: gathered, as a table, as JSON."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatflow_hook.settings import RedisSettings, read
from imagegen.bootstrap import workflow_library
from imagegen.comfy.host_report import GpuDevice, HostReport, ask_hosts
from imagegen.monitoring import host_status
from imagegen.monitoring.host_status import PublishedHost
from imagegen.queue import connections
from imagegen.settings import HostSettings
from imagegen.workflows.library import Library

_GIB = 2**30
_COLUMNS = ("host", "state", "version", "GPU", "memory", "slots", "queue", "last drew", "can draw")


@dataclass(frozen=True, kw_only=True)
class HostRow:
    """One host, as people and programs see it.

    `state` is `down` if the host does not answer us, else the worst that a worker says of it, or
    `up`. `slots` and `taken` are summed over workers, None without one. `lacks` says by persona
    what is missing.
    """

    name: str
    state: str
    why: str | None
    version: str
    devices: tuple[GpuDevice, ...]
    slots: int | None
    taken: int | None
    queue: int
    last_drew: tuple[str, ...]
    can_draw: tuple[str, ...]
    lacks: Mapping[str, tuple[str, ...]]


def host_rows(
    reports: Sequence[HostReport], notices: Sequence[PublishedHost], library: Library
) -> tuple[HostRow, ...]:
    """Bring together what hosts say, what workers say and what workflows need."""
    return tuple(
        _row(report, [each for each in notices if each.name == report.name], library)
        for report in reports
    )


def is_well(page: Sequence[HostRow]) -> bool:
    """Whether every host answers and every persona can be drawn by one at least."""
    wanted = {persona for row in page for persona in (*row.can_draw, *row.lacks)}
    drawn = {persona for row in page for persona in row.can_draw}
    return all(row.state != "down" for row in page) and wanted == drawn


def as_text(page: Sequence[HostRow]) -> str:
    """Write the table, and below it why hosts are not up and what they lack."""
    table = [_COLUMNS, *(_cells(row) for row in page)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    return "\n".join([*lines, *_notes(page)])


def as_json(page: Sequence[HostRow]) -> list[dict[str, Any]]:
    """Give the same as plain objects; memory in bytes."""
    return [
        {
            "host": row.name,
            "state": row.state,
            "why": row.why,
            "version": row.version,
            "devices": [
                {"name": each.name, "memory": each.memory, "memory_free": each.memory_free}
                for each in row.devices
            ],
            "slots": row.slots,
            "slots_taken": row.taken,
            "queue": row.queue,
            "last_drew": list(row.last_drew),
            "can_draw": list(row.can_draw),
            "lacks": {persona: list(missing) for persona, missing in row.lacks.items()},
        }
        for row in page
    ]


def _row(report: HostReport, notices: Sequence[PublishedHost], library: Library) -> HostRow:
    lacks = _lacks(report, library)
    worst = next((each for each in notices if each.condition != "up"), None)
    last = {each.model_set for each in notices}
    needs = {name: workflow.requirements for name, workflow in library.workflows.items()}
    return HostRow(
        name=report.name,
        state="down" if report.fault else worst.condition if worst else "up",
        why=report.fault or (worst.why if worst else None),
        version=report.version,
        devices=report.devices,
        slots=sum(each.slots for each in notices) if notices else None,
        taken=sum(each.taken for each in notices) if notices else None,
        queue=report.queue,
        last_drew=tuple(sorted(name for name in needs if needs[name].model_set in last)),
        can_draw=tuple(sorted(name for name in lacks if not lacks[name])),
        lacks={name: lacks[name] for name in sorted(lacks) if lacks[name]},
    )


def _lacks(report: HostReport, library: Library) -> dict[str, tuple[str, ...]]:
    if report.capabilities is None:
        return {}
    return {
        name: tuple(lack.sentence for lack in report.capabilities.missing(workflow.requirements))
        for name, workflow in library.workflows.items()
    }


def _cells(row: HostRow) -> tuple[str, ...]:
    known = len(row.can_draw) + len(row.lacks)
    return (
        row.name,
        row.state,
        row.version or "-",
        ", ".join(each.name for each in row.devices) or "-",
        ", ".join(_memory(each) for each in row.devices) or "-",
        "no worker" if row.slots is None else f"{row.taken}/{row.slots}",
        str(row.queue) if known else "-",
        ", ".join(row.last_drew) or "-",
        f"{len(row.can_draw)} of {known}" if known else "-",
    )


def _memory(device: GpuDevice) -> str:
    return f"{device.memory_free / _GIB:.1f}/{device.memory / _GIB:.1f} GiB"


def _notes(page: Iterable[HostRow]) -> list[str]:
    notes = []
    for row in page:
        if row.why is not None:
            notes.append(
                f"{row.state}: {row.why}"
                if row.name in row.why
                else f"{row.name} is {row.state}: {row.why}"
            )
        for persona, missing in row.lacks.items():
            notes.append(f"{row.name} cannot draw {persona}: {'; '.join(missing)}")
    return ["", *notes] if notes else []


class _HostsSettings(HostSettings, RedisSettings):
    pass


def inspect_hosts(*, timeout_s: float) -> tuple[HostRow, ...]:
    """Ask every host, all at once. Raises BadSetting."""
    chosen = read(_HostsSettings)
    library = workflow_library(chosen)
    reports, notices = asyncio.run(_reports(chosen, timeout_s))
    return host_rows(reports, notices, library)


async def _reports(
    chosen: _HostsSettings, timeout_s: float
) -> tuple[tuple[HostReport, ...], list[host_status.PublishedHost]]:
    async with connections.result_connection(chosen.redis, db=chosen.redis_result_db) as redis:
        reports, notices = await asyncio.gather(
            ask_hosts(chosen.comfyui_hosts, headers=chosen.host_headers, timeout_s=timeout_s),
            host_status.read_published(redis),
        )
    return reports, list(notices or ())
