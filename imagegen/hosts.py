"""The page of `imagegen hosts`: reports, notices and workflows → text or JSON; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.host_report import GpuDevice, HostReport
from imagegen.monitoring.host_status import PublishedHost
from imagegen.workflows.library import Library

_GIB = 2**30
_COLUMNS = ("host", "state", "version", "GPU", "memory", "slots", "queue", "last drew", "can draw")


@dataclass(frozen=True, kw_only=True)
class Row:
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


def rows(
    reports: Sequence[HostReport], notices: Sequence[PublishedHost], library: Library
) -> tuple[Row, ...]:
    """Bring together what hosts say, what workers say and what workflows need."""
    return tuple(
        _row(report, [each for each in notices if each.name == report.name], library)
        for report in reports
    )


def is_well(page: Sequence[Row]) -> bool:
    """Whether every host answers and every persona can be drawn by one at least."""
    wanted = {persona for row in page for persona in (*row.can_draw, *row.lacks)}
    drawn = {persona for row in page for persona in row.can_draw}
    return all(row.state != "down" for row in page) and wanted == drawn


def as_text(page: Sequence[Row]) -> str:
    """Write the table, and below it why hosts are not up and what they lack."""
    table = [_COLUMNS, *(_cells(row) for row in page)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    return "\n".join([*lines, *_notes(page)])


def as_json(page: Sequence[Row]) -> list[dict[str, Any]]:
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


def _row(report: HostReport, notices: Sequence[PublishedHost], library: Library) -> Row:
    lacks = _lacks(report, library)
    worst = next((each for each in notices if each.condition != "up"), None)
    last = {each.model_set for each in notices}
    needs = {name: workflow.requirements for name, workflow in library.workflows.items()}
    return Row(
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
    if report.stock is None:
        return {}
    return {
        name: tuple(lack.sentence for lack in report.stock.missing(workflow.requirements))
        for name, workflow in library.workflows.items()
    }


def _cells(row: Row) -> tuple[str, ...]:
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


def _notes(page: Iterable[Row]) -> list[str]:
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
